"""fast-reid's triplet loss, whose soft mining of pooled features is computed exactly here."""

import pytest
import torch
from fastreid.modeling.losses import triplet_loss
from torch import Tensor

from vireid_plugins.modeling.losses.fastreid_losses import soft_or_hard_triplet


def clusters(spread: float, distance: float) -> tuple[Tensor, Tensor]:
    """Four identities of four features (16, 8), `distance` apart."""
    targets = torch.arange(4).repeat_interleave(4)
    features = distance * torch.eye(8)[targets] + spread * torch.randn(16, 8)
    return features.double().requires_grad_(), targets


@pytest.mark.parametrize("margin", [0.3, 0.0])
@pytest.mark.parametrize(("norm", "hard"), [(True, False), (False, True), (True, True), (False, False)])
def test_triplet_of_near_features_equals_fast_reid(margin: float, norm: bool, hard: bool) -> None:
    features, targets = clusters(0.5, 1.0)
    expected = triplet_loss(features, targets, margin, norm, hard)
    found = soft_or_hard_triplet(features, targets, margin, norm, hard)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("margin", [0.3, 0.0])
def test_triplet_of_one_identity_is_zero(margin: float) -> None:
    features = torch.randn(5, 4, requires_grad=True)
    value = soft_or_hard_triplet(features, torch.zeros(5), margin, False, False)
    value.backward()
    assert value == 0
    assert not features.grad.any()


@pytest.mark.parametrize("margin", [0.3, 0.0])
def test_triplet_of_separated_features_is_small_and_does_not_pull_negatives_in(margin: float) -> None:
    features, targets = clusters(0.1, 40.0)
    assert triplet_loss(features, targets, margin, False, False) > 0.5
    assert soft_or_hard_triplet(features, targets, margin, False, False) < 1e-3
    features, targets = clusters(9.0, 20.0)
    loss = soft_or_hard_triplet(features, targets, 100.0, False, False)
    (gradient,) = torch.autograd.grad(loss, features)
    after = features - 0.1 * gradient
    different = targets[:, None] != targets
    # Each anchor's nearest negatives, which have all the weight, move away.
    nearest = [torch.cdist(x, x).masked_fill(~different, torch.inf).amin(1).mean() for x in (features, after)]
    assert nearest[1] > nearest[0]
