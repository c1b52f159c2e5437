import pytest
import torch
from torch import Tensor, nn

from vireid_plugins.layers.streams import PerModality, StreamSwitch


class Times(nn.Module):
    """Multiplies by its own factor and counts the rows it sees."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))
        self.rows = 0

    def forward(self, x: Tensor, modalities: Tensor | None = None, views: Tensor | None = None) -> Tensor:
        self.rows += len(x)
        assert modalities is None or len(modalities) == len(x) == len(views)
        return x * self.factor


def switch(count: int) -> StreamSwitch:
    module = StreamSwitch(Times(1.0), count)
    for number, copy in enumerate(module.copies):
        copy.factor.data.fill_(10.0**number)
    return module


MODALITIES = torch.tensor([1, 0, 0, 1, 1])
VIEWS = torch.tensor([0, 1, 0, 1, 0])
X = torch.arange(1.0, 6.0).view(5, 1, 1, 1)


@pytest.mark.parametrize(
    ("count", "factors"), [(1, [1, 1, 1, 1, 1]), (2, [10, 1, 1, 10, 10]), (4, [100, 10, 1, 1000, 100])]
)
def test_stream_switch_in_any_order_gives_each_row_its_own_copy(count: int, factors: list[float]) -> None:
    out = switch(count).train()(X, MODALITIES, VIEWS)
    assert out.flatten().tolist() == [x * f for x, f in zip(X.flatten().tolist(), factors, strict=True)]


def test_stream_switch_of_four_streams_is_averaged_at_test() -> None:
    out = switch(4).eval()(X, MODALITIES, VIEWS)
    expected = [x * (550 if m else 5.5) for x, m in zip(X.flatten().tolist(), MODALITIES.tolist(), strict=True)]
    assert out.flatten().tolist() == expected


def test_stream_switch_computes_a_row_once_and_only_used_copies_learn() -> None:
    module = switch(2).train()
    module(X, torch.ones(5, dtype=torch.long)).sum().backward()
    assert [copy.rows for copy in module.copies] == [0, 5]
    assert module.copies[0].factor.grad is None
    assert module.copies[1].factor.grad == X.sum()


def test_per_modality_copies_start_equal_and_do_not_share() -> None:
    module = PerModality(Times(3.0))
    assert module.copies[0].factor == module.copies[1].factor
    assert module.copies[0].factor is not module.copies[1].factor


def test_stream_switch_without_modalities_is_one_error() -> None:
    assert torch.equal(switch(1)(X), X)
    with pytest.raises(ValueError, match="needs `modalities`"):
        switch(2)(X)
