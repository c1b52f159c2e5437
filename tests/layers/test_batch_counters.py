"""Counters of batch norms that are advanced in one call are those of torch."""

import copy
from typing import Any

import torch
from torch import nn

from vireid_plugins.layers.batch_counters import counted_together
from vireid_plugins.layers.frozen_statistics import frozen_statistics


class Norms(nn.Module):
    """One norm runs, one runs twice and once frozen, one never, one is in evaluation mode, one has no momentum."""

    def __init__(self) -> None:
        super().__init__()
        self.once, self.twice, self.never, self.still = (nn.BatchNorm1d(3) for _ in range(4))
        self.cumulative = nn.BatchNorm1d(3, momentum=None)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.still.eval()
        x = self.still(self.once(x))
        x = self.twice(self.twice(x) + 1)
        with frozen_statistics(self.twice):
            x = self.twice(2 * x)
        out: torch.Tensor = self.cumulative(x)
        return out


def steps(model: nn.Module, together: bool) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    for _ in range(3):
        x = torch.randn(5, 3)
        if together:
            with counted_together(model):
                model(x)
        else:
            model(x)
    return model.state_dict()


def test_counted_together_equals_norms_that_count_alone() -> None:
    model = Norms()
    alone, together = steps(copy.deepcopy(model), together=False), steps(model, together=True)
    assert list(alone) == list(together)
    for key, value in alone.items():
        torch.testing.assert_close(together[key], value, rtol=0, atol=0)
    assert [int(together[f"{name}.num_batches_tracked"]) for name in ("once", "twice", "never")] == [3, 6, 0]


def test_counted_together_keeps_the_buffers_even_after_an_error() -> None:
    model: Any = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(4, 4))
    counter = model[0].num_batches_tracked
    try:
        with counted_together(model):
            model(torch.randn(5, 3))
    except RuntimeError:
        pass
    assert model[0].num_batches_tracked is counter
    assert int(counter) == 1
    # A copy goes on as its own network.
    other = copy.deepcopy(model)
    with counted_together(other):
        other[0](torch.randn(5, 3))
    assert (int(counter), int(other[0].num_batches_tracked)) == (1, 2)
