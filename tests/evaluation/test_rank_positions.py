import numpy as np
import pytest
import torch

from vireid_plugins.evaluation.drop_rules import DropRule
from vireid_plugins.evaluation.rank_positions import Selection, count_positions
from vireid_plugins.evaluation.types import Labels


@pytest.mark.parametrize("of", [np.zeros, torch.zeros], ids=["array", "tensor"])
def test_count_positions_without_a_query_has_no_row(of) -> None:
    nobody, gallery = np.empty(0, np.int64), np.arange(3)
    labels = Labels(nobody, nobody), Labels(gallery, gallery)
    (found,) = count_positions(of((0, 3)), [Selection(nobody, gallery, *labels, DropRule(), distinct=False)])
    assert [column.shape for column in found] == [(0,)] * 3
    assert [column.dtype for column in found] == [np.int64, np.float64, np.float64]


@pytest.mark.parametrize("distinct", [False, True])
@pytest.mark.parametrize("of", [np.zeros, torch.zeros], ids=["array", "tensor"])
def test_count_positions_without_a_gallery_finds_no_match(of, distinct: bool) -> None:
    nobody, queries = np.empty(0, np.int64), np.arange(2)
    labels = Labels(queries, queries), Labels(nobody, nobody)
    (found,) = count_positions(of((2, 0)), [Selection(queries, nobody, *labels, DropRule(), distinct)])
    assert [column.tolist() for column in found] == [[-1, -1], [0, 0], [0, 0]]
