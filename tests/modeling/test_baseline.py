"""What every method shares: precision of the input."""

import pytest
import torch
from fastreid.modeling.meta_arch import build_model
from helpers import small_cfg
from torch import nn


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return build_model(small_cfg("SYSU/one_stream.yml", "MODEL.HEADS.NUM_CLASSES", "4")).eval()


@pytest.mark.parametrize("given", [torch.uint8, torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("own", [torch.float32, torch.float64])
def test_normalize_computes_in_the_networks_precision(network: nn.Module, own: torch.dtype, given: torch.dtype) -> None:
    pixels = torch.arange(0, 240, 10).view(2, 3, 2, 2).to(given)
    before = pixels.clone()
    network.to(own)
    found = network.normalize(pixels)
    assert found.dtype == own
    assert torch.equal(pixels, before)
    mean, std = (torch.tensor(c, dtype=torch.float64).view(3, 1, 1) * 255 for c in ((0.485, 0.456, 0.406), STD))
    torch.testing.assert_close(found.double(), (pixels.double() - mean) / std, rtol=0, atol=ATOL[own])


STD = (0.229, 0.224, 0.225)
# The figures of the configuration in full in float64: rounded to float32 they would be off by 1e-8.
ATOL = {torch.float32: 1e-6, torch.float64: 1e-14}


def test_baseline_in_float64_computes_features_in_float64(network: nn.Module) -> None:
    images = torch.rand(2, 3, 64, 32, dtype=torch.float64) * 255
    step = torch.nextafter(images, torch.full_like(images, 256.0))
    with torch.no_grad():
        single = network.float()(images)
        first, second = network.double()(images), network(step)
    assert (single.dtype, first.dtype) == (torch.float32, torch.float64)
    # A last bit of float64 in the images reaches the features: no float32 lies on the way.
    assert not torch.equal(first, second)
    torch.testing.assert_close(first, second, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(single.double(), first, rtol=1e-3, atol=1e-4)
