"""Classifiers with a margin in fast-reid's own head, in float32."""

from collections.abc import Callable
from typing import Any

from fastreid.layers.any_softmax import ArcSoftmax
from fastreid.modeling.heads.embedding_head import EmbeddingHead
from torch import Tensor

from vireid_plugins.compat.registry import Replacement, register_patch
from vireid_plugins.layers.precision import LARGEST_COSINE, full_precision, without_autocast


def _in_float32(forward: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap the forward of fast-reid's head: classifiers with a margin are trained without autocast."""

    def computed(self: Any, features: Tensor, targets: Tensor | None = None) -> Any:
        if not self.training or type(self.cls_layer).__name__ == "Linear":
            return forward(self, features, targets)
        with without_autocast(features.device):
            return forward(self, full_precision(features), targets)

    return computed


def _within_one(forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Wrap the forward of a classifier that takes the arccosine of its logits in place."""

    def clamped(self: Any, logits: Tensor, targets: Tensor) -> Tensor:
        return forward(self, full_precision(logits).clamp(-LARGEST_COSINE, LARGEST_COSINE), targets)

    return clamped


@register_patch(
    "under AMP classifiers with a margin compute cosines in half precision; gradients of ArcSoftmax are NaN within 3.6 "
    "degrees of a class weight in bf16, and at a cosine of 1 in float32",
    "computes them in float32, at most 1 - 1e-7",
    where="`fastreid/modeling/heads/embedding_head.py:119`, `fastreid/layers/any_softmax.py:51`.",
)
def margins() -> list[Replacement]:
    """Return the replacements."""
    return [
        Replacement(EmbeddingHead, "forward", _in_float32(EmbeddingHead.forward)),
        Replacement(ArcSoftmax, "forward", _within_one(ArcSoftmax.forward)),
    ]
