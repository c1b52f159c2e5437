import math
from functools import partial

import pytest
import torch
from reference.triplets import weighted_differences

from vireid_plugins.modeling import Branch, LossInputs
from vireid_plugins.modeling.losses import (
    SquaredDifferenceTriplet,
    WeightedTriplet,
    squared_difference_triplet,
    weighted_triplet,
)

Y = torch.arange(4).repeat(2)


@pytest.mark.parametrize("released", [False, True])
@pytest.mark.parametrize("norm", [1.0, 40.0])
def test_weighted_triplet_at_small_and_large_norm_equals_naive_loops(released: bool, norm: float) -> None:
    for seed in range(4):
        torch.manual_seed(seed)
        x = norm * torch.randn(8, 5, dtype=torch.double)
        deltas = [delta.item() for delta in weighted_differences(x, Y, released)]
        softplus = [max(d, 0) + math.log1p(math.exp(-abs(d))) for d in deltas]
        assert weighted_triplet(x, Y, released).item() == pytest.approx(sum(softplus) / 8, rel=1e-9)
        squares = [math.copysign(min(0.5 * d * d, 88), d) for d in deltas]
        expected = sum(max(s, 0) + math.log1p(math.exp(-abs(s))) for s in squares) / 8
        assert squared_difference_triplet(x, Y, 0.5, released).item() == pytest.approx(expected, rel=1e-9)


def test_weighted_triplet_released_negative_term_vanishes_at_large_distances() -> None:
    x = 40 * torch.nn.functional.normalize(torch.randn(8, 64))
    clean, released = weighted_triplet(x, Y), weighted_triplet(x, Y, released_eps=True)
    assert released > clean + 10


def test_weighted_triplet_of_three_points_is_its_value_by_hand() -> None:
    """Points 0, 2 of one identity and 10 of another: w_p = softmax(0, 2) of the first anchor."""
    x = torch.tensor([[0.0], [2.0], [10.0]])
    w = math.exp(2) / (1 + math.exp(2))
    first, second = 2 * w - 10, 2 * w - 8
    w_n = [math.exp(-10), math.exp(-8)]
    third = 0 - (10 * w_n[0] + 8 * w_n[1]) / sum(w_n)
    expected = sum(math.log1p(math.exp(d)) for d in (first, second, third)) / 3
    assert weighted_triplet(x, torch.tensor([0, 0, 1])).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("released", [False, True])
def test_weighted_triplet_at_collapse_is_log_2_and_of_one_identity_zero(released: bool) -> None:
    for function in (weighted_triplet, partial(squared_difference_triplet, gamma=1.0)):
        x = torch.ones(8, 3, requires_grad=True)
        value = function(x, Y, released_eps=released)
        value.backward()
        assert value.item() == pytest.approx(math.log(2), abs=1e-5)
        assert torch.isfinite(x.grad).all()
        x = torch.randn(4, 3, requires_grad=True)
        value = function(x, torch.zeros(4), released_eps=released)
        value.backward()
        assert value.item() == 0
        assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize("released", [False, True])
def test_weighted_triplet_gradients_equal_numerical_ones(released: bool) -> None:
    x = torch.randn(8, 3, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: weighted_triplet(x, Y, released), x)
    assert torch.autograd.gradcheck(lambda x: squared_difference_triplet(x, Y, 1.0, released), x)


def test_weighted_triplet_under_autocast_is_computed_in_float32() -> None:
    x = torch.randn(8, 4).bfloat16()
    inputs = LossInputs({"global": Branch(x, x, x)}, Y, torch.tensor([0] * 4 + [1] * 4), torch.zeros(8))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        wrt, esd = (
            WeightedTriplet(scale=2.0)(inputs)["weighted_triplet"],
            SquaredDifferenceTriplet(gamma=2.0)(inputs)["squared_difference_triplet"],
        )
    torch.testing.assert_close(wrt, 2 * weighted_triplet(x.float(), Y))
    released = WeightedTriplet(released_eps=True)(inputs)["weighted_triplet"]
    torch.testing.assert_close(released, weighted_triplet(x.float(), Y, released_eps=True))
    assert not torch.equal(released, wrt / 2)
    torch.testing.assert_close(esd, squared_difference_triplet(x.float(), Y, 2.0))
