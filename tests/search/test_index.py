import numpy as np
import pytest

from vireid_plugins.search import IndexKind, choose_kind
from vireid_plugins.search import index as indexes


def clustered(count: int, width: int = 32, clusters: int = 50, seed: int = 0) -> np.ndarray:
    centres = np.random.default_rng(0).standard_normal((clusters, width))
    rng = np.random.default_rng([1, seed])
    vectors = centres[rng.integers(clusters, size=count)] + 0.5 * rng.standard_normal((count, width))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def built(kind: IndexKind, vectors: np.ndarray):
    index = indexes.new_index(kind, vectors)
    indexes.add(index, vectors, 1000 + np.arange(len(vectors)))
    return index


def test_choose_kind_goes_by_size() -> None:
    kinds = [choose_kind(count) for count in (0, 200_000, 200_001)]
    assert kinds == [IndexKind.FLAT, IndexKind.FLAT, IndexKind.IVFPQ]


def test_search_in_a_flat_index_gives_the_sorted_products() -> None:
    vectors, queries = clustered(500), clustered(20, seed=1)
    similarities, numbers = indexes.search(built(IndexKind.FLAT, vectors), queries, 7)
    products = queries @ vectors.T
    order = np.argsort(-products, axis=1, kind="stable")[:, :7]
    np.testing.assert_array_equal(numbers, 1000 + order)
    np.testing.assert_allclose(similarities, np.take_along_axis(products, order, 1), rtol=1e-5)


def test_search_of_a_few_queries_is_a_matrix_product(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where faiss counts queries times width; older releases count queries and do it from 20 on."""
    monkeypatch.setattr(indexes, "_COUNTS_NUMBERS", True)
    before = indexes.faiss.cvar.distance_compute_blas_threshold
    try:
        indexes.search(built(IndexKind.FLAT, clustered(50)), clustered(5, seed=1), 3)
        assert indexes.faiss.cvar.distance_compute_blas_threshold == 4 * 32
    finally:
        indexes.faiss.cvar.distance_compute_blas_threshold = before


@pytest.mark.parametrize(("kind", "least"), [(IndexKind.FLAT, 1.0), (IndexKind.IVFPQ, 0.9)])
def test_tuned_effort_measures_the_recall_that_queries_find(kind: IndexKind, least: float) -> None:
    """Beside queries of our own, other images of the same people."""
    vectors, queries = clustered(4000), clustered(200, seed=3)
    numbers = 1000 + np.arange(len(vectors))
    index = built(kind, vectors)
    effort, recall = indexes.tuned_effort(index, vectors, numbers)
    assert recall >= least
    exact = np.argsort(-(queries @ vectors.T), axis=1)[:, :10]
    similarities, found = indexes.search(index, queries, 10, (vectors, numbers))
    np.testing.assert_allclose(
        similarities, np.einsum("qd,qtd->qt", queries, vectors[found - 1000]), rtol=1e-4, atol=1e-5
    )
    ours = np.mean([len(set(numbers[e]) & set(f)) / 10 for e, f in zip(exact, found, strict=True)])
    assert ours > recall - 0.1
    assert effort >= 16


def test_set_effort_to_more_finds_more() -> None:
    vectors = clustered(6000)
    numbers = np.arange(len(vectors))
    index = indexes.new_index(IndexKind.IVFPQ, vectors)
    indexes.add(index, vectors, numbers)
    indexes.set_effort(index, 1)
    little = indexes.measured_recall(index, vectors, numbers)
    indexes.set_effort(index, 64)
    assert indexes.measured_recall(index, vectors, numbers) > little
