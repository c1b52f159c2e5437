"""Losses on identity centres: hetero-centre, QCT, ICG."""

import numpy as np
import pytest
import torch
from helpers import ROOT

from vireid_plugins.modeling import Branch, Bundle
from vireid_plugins.modeling.losses import (
    ICG,
    QCT,
    HeteroCentre,
    centre_guided,
    hetero_centre,
    quadruple_centre_triplet,
)
from vireid_plugins.modeling.losses.centres import centres, identity_weights
from vireid_plugins.modeling.losses.quadruple_centre import negative_margin

# Blocks [V1, V2, I1, I2] of three identities with two instances.
Y = torch.tensor([5, 5, 2, 2, 9, 9]).repeat(4)
STREAM = [s for s in range(4) for _ in range(6)]


def test_qct_is_the_released_codes() -> None:
    fixture = np.load(ROOT / "tests" / "fixtures" / "mscm_qct_seed21.npz")
    x = torch.from_numpy(fixture["x"]).requires_grad_()
    value = quadruple_centre_triplet(x, torch.from_numpy(fixture["y"]), [24] * 4, 48)
    value.backward()
    assert value.item() == pytest.approx(float(fixture["qct"]), rel=1e-5)
    np.testing.assert_allclose(x.grad, fixture["grad"], rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("a", [0.0, 0.5, 1.0])
def test_collapsed_features_give_half_the_margin(a: float) -> None:
    x = torch.ones(24, 8, requires_grad=True)
    value = quadruple_centre_triplet(x, Y, [6] * 4, 12, 0.7, a)
    value.backward()
    assert value.item() == pytest.approx(0.35, abs=1e-5)
    assert torch.isfinite(x.grad).all()
    alone = quadruple_centre_triplet(torch.ones(8, 3), torch.zeros(8), [2] * 4, 4)
    assert alone.item() == pytest.approx(0, abs=1e-5)


def test_by_hand() -> None:
    """One identity at 0 and 4 (visible), 5 (infrared): centres 2 and 5."""
    visible, infrared = torch.tensor([[0.0], [4.0]]), torch.tensor([[5.0]])
    y = torch.zeros(2), torch.zeros(1)
    assert hetero_centre(visible, infrared, *y).item() == 9
    # ICG without another identity is the mean distance to the other modality's centre: 5, 1 and 3.
    assert centre_guided(torch.cat([visible, infrared]), torch.zeros(3), 2).item() == pytest.approx(3)
    assert identity_weights(torch.tensor([1, 1, 4]), torch.float).tolist() == [0.5, 0.5, 1]
    found = centres(visible, torch.tensor([1, 2]), torch.tensor([2, 3]))
    assert found.tolist() == [[4.0], [0.0]]


def test_the_margin_of_two_identities_by_hand() -> None:
    """Points 0 and 2 of one identity, 4 and 4 of the other: hinges 5 - 4, 5 - 2, and twice 5 - 3."""
    x = torch.tensor([[0.0], [2.0], [4.0], [4.0]])
    assert negative_margin(x, torch.tensor([0, 0, 1, 1]), 5.0).item() == pytest.approx((1 + 3 + 2 + 2) / 4)


def test_an_identity_without_infrared_images_does_not_count() -> None:
    visible, infrared = torch.tensor([[0.0], [7.0]]), torch.tensor([[2.0]])
    assert hetero_centre(visible, infrared, torch.tensor([1, 2]), torch.tensor([1])).item() == 4


def test_gradients_and_collapse() -> None:
    x = torch.randn(24, 3, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: quadruple_centre_triplet(x, Y, [6] * 4, 12, 3.0, 0.4), x)
    assert torch.autograd.gradcheck(lambda x: hetero_centre(x[:12], x[12:], Y[:12], Y[12:]), x)
    assert torch.autograd.gradcheck(lambda x: centre_guided(x, Y, 12), x)
    collapsed = torch.ones(24, 3, requires_grad=True)
    value = centre_guided(collapsed, Y, 12)
    value.backward()
    assert value.item() == pytest.approx(0.3, abs=1e-5)
    assert torch.isfinite(collapsed.grad).all()


def test_registered_in_float32() -> None:
    torch.manual_seed(0)
    x = torch.randn(24, 4).bfloat16()
    modalities, views = torch.tensor([s // 2 for s in STREAM]), torch.tensor([s % 2 for s in STREAM])
    bundle = Bundle({"global": Branch(x, x, x)}, Y, modalities, views)
    assert bundle.stream_rows() == [6, 6, 6, 6]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = QCT(quad_weight=0.5)(bundle) | HeteroCentre(scale=2.0)(bundle) | ICG(scale=1.0)(bundle)
    wide = x.float()
    torch.testing.assert_close(found["qct"], quadruple_centre_triplet(wide, Y, [6] * 4, 12, 0.7, 0.5))
    torch.testing.assert_close(found["hc"], 2 * hetero_centre(wide[:12], wide[12:], Y[:12], Y[12:]))
    torch.testing.assert_close(found["icg"], centre_guided(wide, Y, 12))
    assert not QCT(on=["sh"]).applies(bundle)
