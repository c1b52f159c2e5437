"""Losses on identity centers: hetero-center, QCT, ICG; what ICG alone has is in tests/methods/icre/test_losses.py."""

from functools import partial

import numpy as np
import pytest
import torch
from helpers import ROOT

from vireid_plugins.layers.centers import centers, identity_weights
from vireid_plugins.methods.icre.losses import ICG, center_guided, center_tolerance
from vireid_plugins.methods.mscm.losses import QCT, negative_margin, quadruple_center_triplet
from vireid_plugins.modeling import Branch, LossInputs
from vireid_plugins.modeling.losses import HeteroCenter, hetero_center

# Blocks [V1, V2, I1, I2] of three identities with two instances.
Y = torch.tensor([5, 5, 2, 2, 9, 9]).repeat(4)
STREAM = [s for s in range(4) for _ in range(6)]


def test_qct_of_stored_features_equals_released_value_and_gradient() -> None:
    fixture = np.load(ROOT / "tests" / "fixtures" / "mscm_qct_seed21.npz")
    x = torch.from_numpy(fixture["x"]).requires_grad_()
    value = quadruple_center_triplet(x, torch.from_numpy(fixture["y"]), [24] * 4, 48, 0.7, 0.0)
    value.backward()
    assert value.item() == pytest.approx(float(fixture["qct"]), rel=1e-5)
    np.testing.assert_allclose(x.grad, fixture["grad"], rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("a", [0.0, 0.5, 1.0])
def test_quadruple_center_triplet_of_collapsed_features_is_half_the_margin(a: float) -> None:
    x = torch.ones(24, 8, requires_grad=True)
    value = quadruple_center_triplet(x, Y, [6] * 4, 12, 0.7, a)
    value.backward()
    assert value.item() == pytest.approx(0.35, abs=1e-5)
    assert torch.isfinite(x.grad).all()
    alone = quadruple_center_triplet(torch.ones(8, 3), torch.zeros(8), [2] * 4, 4, 0.7, 0.0)
    assert alone.item() == pytest.approx(0, abs=1e-5)


def test_center_losses_of_one_identity_are_their_values_by_hand() -> None:
    """One identity at 0 and 4 (visible), 5 (infrared): centers 2 and 5."""
    visible, infrared = torch.tensor([[0.0], [4.0]]), torch.tensor([[5.0]])
    y = torch.zeros(2), torch.zeros(1)
    assert hetero_center(visible, infrared, *y).item() == 9
    # ICG without another identity is the mean distance to the other modality's center: 5, 1 and 3.
    assert center_guided(torch.cat([visible, infrared]), torch.zeros(3), 2, 0.3).item() == pytest.approx(3)
    # In the tolerance form each distance beyond rho1 = 2: 3, 0 and 1.
    assert center_tolerance(torch.cat([visible, infrared]), torch.zeros(3), 2, 2.0, 9.0).item() == pytest.approx(4 / 3)
    assert identity_weights(torch.tensor([1, 1, 4]), torch.float).tolist() == [0.5, 0.5, 1]
    found = centers(visible, torch.tensor([1, 2]), torch.tensor([2, 3]))
    assert found.tolist() == [[4.0], [0.0]]


def test_negative_margin_of_two_identities_is_its_value_by_hand() -> None:
    """Points 0 and 2 of one identity, 4 and 4 of the other: hinges 5 - 4, 5 - 2, and twice 5 - 3."""
    x = torch.tensor([[0.0], [2.0], [4.0], [4.0]])
    assert negative_margin(x, torch.tensor([0, 0, 1, 1]), 5.0).item() == pytest.approx((1 + 3 + 2 + 2) / 4)


def test_hetero_center_leaves_out_an_identity_without_infrared_images() -> None:
    visible, infrared = torch.tensor([[0.0], [7.0]]), torch.tensor([[2.0]])
    assert hetero_center(visible, infrared, torch.tensor([1, 2]), torch.tensor([1])).item() == 4


def test_center_losses_have_numerical_gradients_and_survive_collapse() -> None:
    x = torch.randn(24, 3, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: center_tolerance(x, Y, 12, 0.5, 1.5), x)
    assert torch.autograd.gradcheck(lambda x: quadruple_center_triplet(x, Y, [6] * 4, 12, 3.0, 0.4), x)
    assert torch.autograd.gradcheck(lambda x: hetero_center(x[:12], x[12:], Y[:12], Y[12:]), x)
    assert torch.autograd.gradcheck(lambda x: center_guided(x, Y, 12, 0.3), x)
    collapsed = torch.ones(24, 3, requires_grad=True)
    guided, tolerance = partial(center_guided, rho1=0.3), partial(center_tolerance, rho1=0.01, rho2=0.7)
    for form, at_collapse in ((guided, 0.3), (tolerance, 0.7)):
        collapsed.grad = None
        value = form(collapsed, Y, 12)
        value.backward()
        assert value.item() == pytest.approx(at_collapse, abs=1e-5)
        assert torch.isfinite(collapsed.grad).all()


def test_center_losses_under_autocast_are_computed_in_float32() -> None:
    torch.manual_seed(0)
    x = torch.randn(24, 4).bfloat16()
    modalities, views = torch.tensor([s // 2 for s in STREAM]), torch.tensor([s % 2 for s in STREAM])
    inputs = LossInputs({"global": Branch(x, x, x)}, Y, modalities, views)
    assert inputs.stream_rows() == [6, 6, 6, 6]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = QCT(quad_weight=0.5)(inputs) | HeteroCenter(scale=2.0)(inputs) | ICG(scale=1.0)(inputs)
    wide = x.float()
    torch.testing.assert_close(found["qct"], quadruple_center_triplet(wide, Y, [6] * 4, 12, 0.7, 0.5))
    torch.testing.assert_close(found["hetero_center"], 2 * hetero_center(wide[:12], wide[12:], Y[:12], Y[12:]))
    torch.testing.assert_close(found["icg"], center_tolerance(torch.nn.functional.normalize(wide), Y, 12, 0.01, 0.7))
