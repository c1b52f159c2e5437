"""Patches of fast-reid's models and losses."""

import importlib
from collections.abc import Callable
from typing import Any

import torch
from fastreid.modeling.meta_arch.baseline import Baseline
from fastreid.modeling.meta_arch.mgn import MGN
from torch import Tensor

from vireid_plugins.compat.registry import Replacement, register_patch


def _on_a_copy(preprocess: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def preprocessed(self: Any, batch: Any) -> Tensor:
        copy = {**batch, "images": batch["images"].clone()} if isinstance(batch, dict) else batch.clone()
        return preprocess(self, copy)

    return preprocessed


@register_patch(
    "images are normalized in place, so that the flip test silently normalizes them twice and the features are wrong",
    "normalizes a copy",
    where="`fastreid/modeling/meta_arch/baseline.py:130`, `mgn.py:257`, `fastreid/evaluation/evaluator.py:120`.",
)
def flip() -> list[Replacement]:
    """Return the replacements."""
    return [Replacement(c, "preprocess_image", _on_a_copy(c.preprocess_image)) for c in (Baseline, MGN)]


def _in_float32(distance: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    def computed(x: Tensor, y: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            # At least float32: float64 stays float64.
            return distance(*(rows.to(torch.promote_types(rows.dtype, torch.float32)) for rows in (x, y)))

    return computed


@register_patch(
    "under AMP the triplet loss computes distances in half precision and is silently wrong: by 0.2 in fp16 and 2.3 in "
    "bf16 on a distance of 2.3",
    "computes distances in float32",
    where="`fastreid/modeling/losses/triplet_loss.py`, `utils.py`.",
)
def float32_distances() -> list[Replacement]:
    """Return the replacements."""
    # By name, because a function of the package shadows the module.
    module = importlib.import_module("fastreid.modeling.losses.triplet_loss")
    return [Replacement(module, name, _in_float32(getattr(module, name))) for name in ("euclidean_dist", "cosine_dist")]
