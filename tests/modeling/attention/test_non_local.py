"""The non-local block's range."""

import pytest
import torch
from intermediates import watched
from torch import Tensor, nn

from vireid_plugins.modeling.attention import NonLocal
from vireid_plugins.modeling.attention.non_local import averaged_product


def released(module: NonLocal, x: Tensor) -> Tensor:
    """The released order: positions x positions scores, divided, times g."""
    theta, phi, g = (part(x).flatten(2) for part in (module.theta, module.phi, module.g))
    scores = theta.transpose(1, 2) @ phi
    mixed = (scores / scores.shape[2] @ g.transpose(1, 2)).transpose(1, 2)
    return x + module.norm(module.W(mixed.unflatten(2, x.shape[2:])))


@pytest.fixture
def block() -> NonLocal:
    """MSCMNet's block in stage 2, with theta, phi and g as large as their input, and W's norm in evaluation."""
    torch.manual_seed(0)
    module = NonLocal(512)
    for part in (module.theta, module.phi, module.g):
        nn.init.normal_(part.weight, std=part.in_channels**-0.5)
    nn.init.ones_(module.norm.weight)
    return module.eval()


@pytest.mark.parametrize("times", [1, 3, 10])
def test_non_local_in_float16_at_large_activations_is_finite_and_right(block: NonLocal, times: int) -> None:
    """At 384 x 192 a map of stage 2 has 1,152 positions."""
    x = times * torch.randn(1, 512, 48, 24)
    with torch.no_grad():
        expected = block.float()(x)
        found = block.half()(x.half()).float()
    assert torch.isfinite(found).all()
    assert ((found - expected).norm() / expected.norm()).item() < 2e-3


def test_non_local_grows_no_further_than_the_released_order(block: NonLocal) -> None:
    x = 10 * torch.randn(1, 512, 48, 24)
    with torch.no_grad():
        _, largest, _ = watched(lambda: block(x))
        _, released_largest, _ = watched(lambda: released(block, x))
        assert largest < 65504
        assert largest <= released_largest
        block.double()
        found, expected = block(x.double()), released(block, x.double())
    assert (found - expected).norm() < 1e-14 * expected.norm()


def test_non_local_has_no_matrix_over_pairs_of_positions(block: NonLocal) -> None:
    x = torch.randn(1, 512, 48, 24)
    with torch.no_grad():
        _, _, longest = watched(lambda: block(x))
        _, _, released_longest = watched(lambda: released(block, x))
    assert longest < 1152 * 1152 == released_longest


def test_averaged_product_keeps_small_activations_in_float16() -> None:
    """On one factor alone 1 / 1,152 would round 1e-4 to float16's smallest steps: an error of a fifth."""
    torch.manual_seed(0)
    a, b = 1e-4 * torch.rand(1, 4, 1152), 1e3 * torch.rand(1, 4, 1152)
    found = averaged_product(a.half(), b.half(), 1152).float()
    expected = averaged_product(a.half().double(), b.half().double(), 1152).float()
    torch.testing.assert_close(found, expected, rtol=2e-2, atol=0)
