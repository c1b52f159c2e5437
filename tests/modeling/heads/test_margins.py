"""Classifiers with a margin: gradients are finite wherever a feature lies, also under autocast."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
import torch
from helpers import small_cfg
from torch import nn

from vireid_plugins.compat import patch
from vireid_plugins.modeling.heads import build_head
from vireid_plugins.modeling.heads.branch_head import as_branch

MARGINS = ("ArcSoftmax", "CosSoftmax", "CircleSoftmax")
pytestmark = pytest.mark.usefixtures("unpatched")


def head(name: str, margin: str) -> Any:
    """A head whose first class weight is the feature that it is given, to the bit."""
    overrides = ["MODEL.HEADS.NAME", name, "MODEL.HEADS.CLS_LAYER", margin, "MODEL.HEADS.NUM_CLASSES", "3"]
    overrides += ["MODEL.HEADS.WITH_BNNECK", "False", "MODEL.HEADS.SCALE", "16", "MODEL.HEADS.MARGIN", "0.3"]
    built = build_head(small_cfg("SYSU/one_stream.yml", *overrides, "MODEL.HEADS.POOL_LAYER", "GlobalAvgPool"), 64)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        built.weight.copy_(torch.randn(3, 64, generator=generator))
    return built


def autocast(enabled: bool) -> AbstractContextManager[Any]:
    return torch.autocast("cpu", torch.bfloat16) if enabled else nullcontext()


def gradients(built: nn.Module, amp: bool) -> list[torch.Tensor]:
    """Gradients of features along, near and against the first class weight."""
    weight = built.weight.detach()
    rows = torch.stack([weight[0], 1.7 * weight[0], weight[0] + 0.01 * weight[1], -weight[0]])
    features = rows[..., None, None].clone().requires_grad_()
    with autocast(amp):
        branch = as_branch(built(features, torch.zeros(4, dtype=torch.long)))
        loss = nn.functional.cross_entropy(branch.logits, torch.zeros(4, dtype=torch.long))
    assert branch.logits.dtype == torch.float32
    return list(torch.autograd.grad(loss, [features, built.weight]))


@pytest.mark.parametrize("amp", [False, True])
@pytest.mark.parametrize("margin", MARGINS)
@pytest.mark.parametrize("name", ["BranchHead", "EmbeddingHead"])
def test_margins_have_finite_gradients_that_autocast_does_not_change(name: str, margin: str, amp: bool) -> None:
    patch(only=["margins"])
    built = head(name, margin)
    found = gradients(built, amp)
    assert all(gradient.isfinite().all() for gradient in found)
    for with_amp, without in zip(found, gradients(built, False), strict=True):
        torch.testing.assert_close(with_amp, without, rtol=0.01, atol=0.01)


def test_margins_of_fast_reids_head_without_the_patch_are_nan() -> None:
    built = head("EmbeddingHead", "ArcSoftmax")
    with torch.autocast("cpu", torch.bfloat16):
        features = built.weight.detach()[:1, :, None, None].clone().requires_grad_()
        logits = built(features, torch.zeros(1, dtype=torch.long))["cls_outputs"]
    assert not torch.autograd.grad(logits.sum(), features)[0].isfinite().all()
