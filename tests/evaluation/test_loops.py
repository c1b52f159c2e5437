"""The loops that numba compiles give the same when Python runs them, where coverage and mutation can see them."""

from collections.abc import Iterator

import numpy as np
import pytest

from vireid_plugins.evaluation import _count_loops, _rerank_loops
from vireid_plugins.evaluation.block_ranking import count_in_blocks
from vireid_plugins.evaluation.drop_rules import DropRule
from vireid_plugins.evaluation.feature_rows import FeatureRows
from vireid_plugins.evaluation.rank_positions import Selection, count_positions
from vireid_plugins.evaluation.rerank import rerank
from vireid_plugins.evaluation.types import Labels
from vireid_plugins.unsupervised import _jaccard_loops
from vireid_plugins.unsupervised.neighbors import jaccard


@pytest.fixture
def interpreted() -> Iterator[pytest.MonkeyPatch]:
    """Patches that `use` makes and the end of the test undoes."""
    with pytest.MonkeyPatch.context() as patched:
        yield patched


def interpret(patched: pytest.MonkeyPatch) -> None:
    """Replace every compiled function by the Python function it was made of."""
    replaced = [
        (module, name, function.py_func)
        for module in (_count_loops, _rerank_loops, _jaccard_loops)
        for name, function in vars(module).items()
        if hasattr(function, "py_func")
    ]
    assert len(replaced) == 12
    for module, name, function in replaced:
        patched.setattr(module, name, function)


@pytest.mark.parametrize("distinct", [False, True])
@pytest.mark.parametrize("rule", [DropRule(), DropRule(pairs=((3, 2), (1, 1))), DropRule(same_camera=True)])
def test_count_loops_interpreted_equal_compiled(
    interpreted: pytest.MonkeyPatch, rule: DropRule, distinct: bool
) -> None:
    generator = np.random.default_rng(0)
    distance = generator.integers(0, 12, (30, 40)).astype(np.float32)  # many ties
    distance[4, 5:9] = np.nan
    query = Labels(generator.integers(0, 9, 30), generator.integers(1, 4, 30))
    gallery = Labels(generator.integers(0, 7, 40), generator.integers(1, 4, 40))
    every = [Selection(np.arange(30), np.arange(40), query, gallery, rule, distinct)]
    compiled = count_positions(distance, every)[0]
    # Block by block, with such features that their inner products are these distances.
    whole = np.nan_to_num(distance)
    features = FeatureRows(whole, lambda rows: rows), FeatureRows(-np.eye(40, dtype=np.float32), lambda rows: rows)
    in_blocks = count_in_blocks(*features, "inner_product", every[0])
    interpret(interpreted)
    for ours, theirs in zip(count_in_blocks(*features, "inner_product", every[0]), in_blocks, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for ours, theirs in zip(count_positions(distance, every)[0], compiled, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert -1 in compiled.first  # a query without a match
    assert len(set(compiled.first.tolist())) > 3


@pytest.mark.parametrize("form", ["ordinary", "query_only"])
def test_rerank_loops_interpreted_equal_compiled(interpreted: pytest.MonkeyPatch, form: str) -> None:
    features = np.random.default_rng(1).standard_normal((40, 6))
    squared = ((features[:, None] - features) ** 2).sum(2)
    compiled = rerank(squared, 15, form=form)
    interpret(interpreted)
    # Compiled sums may be added in another order.
    np.testing.assert_allclose(rerank(squared, 15, form=form), compiled, rtol=0, atol=1e-12)


def test_jaccard_loops_interpreted_equal_compiled(interpreted: pytest.MonkeyPatch) -> None:
    features = np.random.default_rng(2).standard_normal((40, 4)).astype(np.float32)
    compiled = jaccard(features, 8, 3, 0.9)
    interpret(interpreted)
    found = jaccard(features, 8, 3, 0.9)
    assert 40 < found.nnz < 1600
    np.testing.assert_array_equal(found.indices, compiled.indices)
    np.testing.assert_allclose(found.data, compiled.data, rtol=0, atol=1e-6)
