"""The center cluster loss by hand, with one identity, at collapse, and in half precision."""

import pytest
import torch

from vireid_plugins.layers.distances import euclidean
from vireid_plugins.modeling.losses import CenterCluster, center_cluster
from vireid_plugins.modeling.losses.center_cluster import center_push

# Two identities with centers (0, 0) and (3, 0), each row at distance 1 from its own.
X = torch.tensor([[0.0, 1.0], [3.0, 1.0], [0.0, -1.0], [3.0, -1.0]])
Y = torch.tensor([5, 2, 5, 2])


def test_center_cluster_of_two_identities_is_as_by_hand() -> None:
    assert center_cluster(X, Y, 0.7).item() == pytest.approx(1)
    assert center_cluster(X, Y, 4.0).item() == pytest.approx(1 + 1)
    assert center_cluster(X, Y, 4.0, tolerance=0.25).item() == pytest.approx(0.75 + 1)
    assert CenterCluster(margin=4.0)(X, [5, 2, 5, 2], [0, 0, 1, 1]).item() == pytest.approx(2)


def test_center_cluster_of_one_identity_is_the_pull_alone() -> None:
    assert center_cluster(X[::2], Y[::2], 0.7).item() == pytest.approx(1)


def test_center_cluster_at_collapse_has_finite_gradients_and_the_whole_margin() -> None:
    x = torch.ones(8, 16, requires_grad=True)
    value = center_cluster(x, torch.arange(4).repeat(2), 0.7)
    value.backward()
    assert value.item() == pytest.approx(0.7, abs=1e-5)
    assert torch.isfinite(x.grad).all()


def test_center_push_is_accurate_for_near_centers_of_long_wide_features() -> None:
    """In float32, of features of norm 100 whose centers are 0.3 apart; an expansion about 0 would lose them."""
    generator = torch.Generator().manual_seed(0)
    common = torch.randn(1, 4096, generator=generator, dtype=torch.double)
    center = 100 * common / common.norm() + 0.005 * torch.randn(6, 4096, generator=generator, dtype=torch.double)
    exact = euclidean(center, center)
    expected = (0.7 - exact[~torch.eye(6, dtype=torch.bool)]).relu().mean().item()
    assert expected > 0.1
    assert center_push(center.float(), torch.arange(6), 0.7).item() == pytest.approx(expected, rel=1e-4)
