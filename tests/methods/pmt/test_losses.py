import numpy as np
import pytest
import torch
from reference import progressive as naive
from released import FIXTURES
from torch import Tensor

from vireid_plugins.layers.distances import euclidean
from vireid_plugins.methods.pmt import DCL, MSEL, ModalityTriplet, dcl, modality_triplet, msel
from vireid_plugins.modeling.losses import hard_triplet

RS = np.random.RandomState
VISIBLE = 32


def rows(noise: float) -> tuple[Tensor, Tensor]:
    """Features (64, 96) of 8 identities and their labels, as those of the fixture."""
    center, shift = np.repeat(RS(42).standard_normal((8, 96)), 4, axis=0), RS(43).standard_normal((2, 1, 96))
    blocks = [center + 0.5 * shift[b] + noise * RS(44 + b).standard_normal((VISIBLE, 96)) for b in (0, 1)]
    labels = np.tile(np.repeat(RS(41).choice(40, 8, replace=False), 4), 2)
    return torch.from_numpy(np.concatenate(blocks)).requires_grad_(), torch.from_numpy(labels)


LOSSES = {
    "triplet_all": lambda x, y: hard_triplet(x, y, 0.1),
    "triplet_intra": lambda x, y: modality_triplet(x, y, VISIBLE, 0.1),
    "msel": lambda x, y: msel(euclidean(x, x), y, VISIBLE),
    "dcl": dcl,
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize(("suffix", "noise"), [("", 0.8), ("_wide", 2.5)])
def test_losses_equal_released_values_and_gradients(name: str, suffix: str, noise: float) -> None:
    x, y = rows(noise)
    value = LOSSES[name](x, y)
    value.backward()
    with np.load(FIXTURES / "pmt_salt5.npz") as file:
        np.testing.assert_allclose(value.item(), file[f"losses/{name}{suffix}"], rtol=1e-12)
        np.testing.assert_allclose(x.grad, file[f"losses/{name}{suffix}_grad"], rtol=1e-12, atol=1e-13)


def test_losses_of_any_order_are_those_of_sorted_rows() -> None:
    x, y = rows(0.8)
    modalities = torch.arange(64) >= VISIBLE
    order = torch.randperm(64, generator=torch.Generator().manual_seed(0))
    for loss in (ModalityTriplet(), MSEL(), DCL()):
        found = loss(x.detach()[order], y[order], modalities[order].long())
        torch.testing.assert_close(found, loss(x.detach(), y, modalities.long()))


def test_losses_of_uneven_identities_equal_loops() -> None:
    torch.manual_seed(0)
    x = torch.randn(11, 5, dtype=torch.float64)
    # Identity 3 has one visible row, identity 4 no infrared one.
    y = torch.tensor([0, 0, 0, 1, 1, 3, 4, 0, 1, 1, 3])
    assert msel(euclidean(x, x), y, 7).item() == pytest.approx(naive.msel(x, y, 7).item())
    assert dcl(x, y).item() == pytest.approx(naive.dcl(x, y).item())


@pytest.mark.parametrize("images", [1, 2])
def test_dcl_of_an_identity_beside_a_larger_one_equals_loops(images: int) -> None:
    """Of a single image of another identity none is nearer than the mean, so all others count."""
    x = torch.randn(5 + images, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    y = torch.tensor([3] * 5 + [8] * images)
    assert dcl(x, y).item() == pytest.approx(naive.dcl(x, y).item(), rel=1e-12)


def test_dcl_does_not_see_the_length_of_features() -> None:
    x, y = rows(0.8)
    assert dcl(1e-3 * x, y).item() == pytest.approx(dcl(x, y).item(), rel=1e-6)


def test_losses_of_one_identity_or_equal_rows_are_finite() -> None:
    for x in (torch.ones(8, 3), torch.randn(8, 3)):
        for y in (torch.zeros(8), torch.arange(8) % 4, torch.arange(8)):
            features = x.clone().requires_grad_()
            value = dcl(features, y) + msel(euclidean(features, features), y, 4) + modality_triplet(features, y, 4, 0.1)
            value.backward()
            assert torch.isfinite(value)
            assert torch.isfinite(features.grad).all()
    assert dcl(torch.randn(4, 3), torch.zeros(4)) == 0


def test_losses_of_bf16_are_computed_in_float32() -> None:
    x, y = rows(0.8)
    modalities = (torch.arange(64) >= VISIBLE).long()
    half = x.detach().bfloat16()
    for loss in (ModalityTriplet(), MSEL(), DCL()):
        torch.testing.assert_close(loss(half, y, modalities), loss(half.float(), y, modalities))
