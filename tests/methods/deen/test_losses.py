import pytest
import torch

from vireid_plugins.methods.deen.losses import (
    CPM,
    ExpansionInputs,
    Orthogonality,
    cross_modality_expansion,
    orthogonality,
)
from vireid_plugins.modeling import LossInputs

# Three identities, two visible and two infrared images of each.
Y = torch.tensor([4, 4, 1, 1, 8, 8]).repeat(2)


def test_cross_modality_expansion_of_collapse_or_one_identity_is_as_by_hand() -> None:
    x = torch.ones(12, 4, requires_grad=True)
    value = cross_modality_expansion(x, x.clone(), Y, 6, 0.2)
    value.backward()
    # Twice (m + m / 2 + m / 2) / 2.
    assert value.item() == pytest.approx(0.4, abs=1e-5)
    assert torch.isfinite(x.grad).all()
    # Without another identity only the first hinge is left: of two points d(o_I, b_V) = 3, d(o_V, b_V) = 1 and back.
    original, branch = torch.tensor([[0.0], [4.0]]), torch.tensor([[1.0], [3.0]])
    found = cross_modality_expansion(original, branch, torch.zeros(2), 1, 0.2)
    assert found.item() == pytest.approx((3 - 1 + 0.2 + 3 - 1 + 0.2) / 2)


def test_orthogonality_of_two_rows_is_its_value_by_hand() -> None:
    first, second = torch.tensor([[1.0, 2.0], [0.0, 3.0]]), torch.tensor([[2.0, 1.0], [5.0, 0.0]])
    assert orthogonality(first, second).item() == pytest.approx(4 / 6)
    assert orthogonality(first, first.flip(0) * torch.tensor([0.0, 0.0])).item() == 0


def test_orthogonality_gradients_equal_numerical_ones() -> None:
    x = torch.randn(12, 3, dtype=torch.double, requires_grad=True)
    y = torch.randn(12, 3, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(orthogonality, (x, y))


def test_cpm_and_orthogonality_of_bf16_are_computed_in_float32() -> None:
    torch.manual_seed(0)
    expanded = torch.randn(36, 4).bfloat16()
    modalities = torch.tensor([0] * 6 + [1] * 6)
    inputs = ExpansionInputs({}, Y, modalities, torch.zeros(12), expanded=expanded)
    original, first, second = expanded.float().chunk(3)
    expected = sum(cross_modality_expansion(original, branch, Y, 6, 0.2) for branch in (first, second))
    torch.testing.assert_close(CPM()(inputs)["cpm"], 0.8 * expected)
    found = Orthogonality(scale=0.01)(inputs)["orthogonality"]
    torch.testing.assert_close(found, 0.01 * orthogonality(first, second))
    assert not CPM().applies(LossInputs({}, Y, modalities, torch.zeros(12)))
