"""Distances that the losses of a step share."""

import pytest
import torch

from vireid_plugins.layers import distances
from vireid_plugins.layers.distances import Distances, euclidean


def test_distances_are_computed_once_for_each_set(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(distances, "euclidean", lambda x, y: (calls.append(len(x)), euclidean(x, y))[1])
    a, b, c = (torch.randn(4, 3) for _ in range(3))
    known = Distances()
    for sets, computed in (([a, b], [2]), ([a, b], [2]), ([b], [2]), ([b, c, a], [2, 1]), ([c], [2, 1])):
        found = known.within(sets)
        assert calls == computed
        for one, rows in zip(found, sets, strict=True):
            torch.testing.assert_close(one, euclidean(rows, rows), rtol=0, atol=0)


def test_distances_shared_by_two_losses_have_the_gradient_of_both() -> None:
    a, b = (torch.randn(4, 3, dtype=torch.double, requires_grad=True) for _ in range(2))

    def both(known: list[Distances]) -> torch.Tensor:
        return known[0].within([a, b]).square().sum() + known[1].within([b]).sum()

    one, other = Distances(), Distances()
    shared, apart = (torch.autograd.grad(both(known), (a, b)) for known in ([one, one], [one.__class__(), other]))
    torch.testing.assert_close(shared, apart)


def test_distances_of_half_precision_are_float32() -> None:
    x = torch.randn(4, 3).bfloat16()
    found = Distances().within([x])
    assert found.dtype == torch.float32
    torch.testing.assert_close(found[0], euclidean(x.float(), x.float()))
