import pytest
import torch
from reference import triplets

from vireid_plugins.modeling import Branch, LossInputs
from vireid_plugins.modeling.losses import HardTriplet, hard_triplet


def test_hard_triplet_of_four_points_is_its_value_by_hand() -> None:
    """Points 0 and 1 of one identity, 3 and 4 of another on a line: hinges 1-3+m, 1-2+m, 1-2+m, 1-3+m."""
    x = torch.tensor([[0.0], [1.0], [3.0], [4.0]])
    assert hard_triplet(x, torch.tensor([0, 0, 1, 1]), 1.5).item() == pytest.approx(0.25)
    assert hard_triplet(x, torch.tensor([0, 0, 1, 1]), 0.3).item() == 0


@pytest.mark.parametrize("seed", range(8))
def test_hard_triplet_equals_the_naive_loops(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(14, 5, dtype=torch.double, generator=generator)
    y = torch.randint(0, 5, (14,), generator=generator)
    assert hard_triplet(x, y, 0.3).item() == pytest.approx(triplets.hard_triplet(x, y, 0.3).item(), rel=1e-9)


def test_hard_triplet_at_collapse_is_the_margin_with_a_finite_gradient() -> None:
    x = torch.ones(8, 16, requires_grad=True)
    value = hard_triplet(x, torch.arange(4).repeat(2), 0.3)
    value.backward()
    assert value.item() == pytest.approx(0.3)
    assert torch.isfinite(x.grad).all()


def test_hard_triplet_of_one_identity_is_zero() -> None:
    x = torch.randn(4, 3, requires_grad=True)
    value = hard_triplet(x, torch.zeros(4), 0.3)
    value.backward()
    assert value.item() == 0
    assert torch.equal(x.grad, torch.zeros_like(x))


def test_hard_triplet_gradients_equal_numerical_ones() -> None:
    x = torch.randn(8, 3, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: hard_triplet(x, torch.arange(4).repeat(2), 2.0), x)


def test_hard_triplet_under_autocast_keeps_distances_in_float32() -> None:
    """Two nearly equal rows far from the origin: the expansion x^2 + y^2 - 2xy would lose their distance."""
    x = torch.full((2, 2048), 3.0)
    x[1, 0] += 0.01
    assert hard_triplet(x, torch.tensor([0, 1]), 1.0).item() == pytest.approx(0.99, abs=1e-6)
    branch = Branch(x, x, x)
    inputs = LossInputs({"global": branch}, torch.tensor([0, 1]), torch.tensor([0, 1]), torch.zeros(2))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = HardTriplet(margin=1.0)(inputs)["hard_triplet"]
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(0.99, abs=1e-6)
