"""Models and weights: the trouble without the patch, its absence with it."""

from typing import Any

import pytest
import torch
from fastreid.modeling.losses import triplet_loss
from fastreid.modeling.meta_arch.baseline import Baseline
from torch import nn

from vireid_plugins.compat import patch

pytestmark = pytest.mark.usefixtures("unpatched")


def _baseline() -> Any:
    model = Baseline(
        backbone=nn.Identity(),
        heads=nn.Identity(),
        pixel_mean=[100.0, 100, 100],
        pixel_std=[50.0, 50, 50],
    )
    return model.eval()


def test_flip_normalises_once() -> None:
    images = torch.full((1, 3, 2, 2), 150.0)
    _baseline()({"images": images})
    assert images.unique().tolist() == [1.0]
    patch(only=["flip"])
    images = torch.full((1, 3, 2, 2), 150.0)
    features = _baseline()({"images": images})
    assert images.unique().tolist() == [150.0]
    assert features.unique().tolist() == [1.0]
    assert _baseline()(images).unique().tolist() == [1.0]
    assert images.unique().tolist() == [150.0]


def test_float32_distances_under_autocast_are_right() -> None:
    x = torch.randn(16, 512) + 3
    y = torch.arange(8).repeat_interleave(2)
    true = triplet_loss(x, y, 0.3, False, True)
    with torch.autocast("cpu", torch.bfloat16):
        assert abs(triplet_loss(x, y, 0.3, False, True) - true) > 0.01
        patch(only=["float32_distances"])
        torch.testing.assert_close(triplet_loss(x, y, 0.3, False, True), true)


def test_float32_distances_leaves_float64_alone() -> None:
    x = (torch.randn(16, 512) + 3).double()
    y = torch.arange(8).repeat_interleave(2)
    true = triplet_loss(x, y, 0.3, False, True)
    patch(only=["float32_distances"])
    found = triplet_loss(x, y, 0.3, False, True)
    assert found.dtype == torch.float64
    assert torch.equal(found, true)
