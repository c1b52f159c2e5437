import numpy as np
import pytest
import torch
from fastreid.evaluation.query_expansion import aqe
from fastreid.evaluation.rerank import re_ranking

from vireid_plugins.errors import ConfigError, FeatureError
from vireid_plugins.evaluation import PostProcessing
from vireid_plugins.evaluation.distances import squared_distances
from vireid_plugins.evaluation.postprocess import _rankable
from vireid_plugins.evaluation.rerank import rerank


def features(queries: int, gallery: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((12, 24))
    matrix = centres[rng.integers(0, 12, queries + gallery)] + rng.standard_normal((queries + gallery, 24))
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    return matrix[:queries], matrix[queries:]


def squared(query: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    every = np.concatenate([query, gallery])
    distance = np.maximum(2 - 2 * every @ every.T, 0)
    np.fill_diagonal(distance, 0)
    return distance


def naive(distance: np.ndarray, queries: int, k1: int, k2: int, lambda_: float, query_only: bool) -> np.ndarray:
    """Sets and dictionaries, from section 3 of Zhong et al."""
    scaled = distance / distance.max(axis=1, keepdims=True)
    images = range(len(scaled))
    candidates = queries if query_only else len(scaled)
    order = [sorted(range(candidates), key=lambda j: (scaled[i, j], j)) for i in images]

    def reciprocal(i: int, k: int) -> list[int]:
        return [j for j in order[i][: k + 1] if i in order[j][: k + 1]]

    weights = np.zeros_like(scaled)
    for i in images:
        core = reciprocal(i, k1)
        expanded = set(core)
        for j in core:
            half = reciprocal(j, int(np.around(k1 / 2)))
            if len(set(half) & set(core)) > 2 / 3 * len(half):
                expanded |= set(half)
        total = sum(np.exp(-scaled[i, j]) for j in expanded)
        for j in expanded:
            weights[i, j] = np.exp(-scaled[i, j]) / total
    weights = np.array([weights[order[i][:k2]].mean(axis=0) for i in images])
    final = np.empty((queries, len(scaled) - queries))
    for q in range(queries):
        for g in range(queries, len(scaled)):
            jaccard = 1 - np.minimum(weights[q], weights[g]).sum() / np.maximum(weights[q], weights[g]).sum()
            final[q, g - queries] = (1 - lambda_) * jaccard + lambda_ * scaled[q, g]
    return final


@pytest.mark.parametrize("form", ["ordinary", "query_only"])
@pytest.mark.parametrize(("k1", "k2", "lambda_"), [(20, 6, 0.3), (7, 1, 0.0), (5, 9, 0.5), (1, 2, 0.1)])
def test_rerank_equals_the_definition(form: str, k1: int, k2: int, lambda_: float) -> None:
    for seed in range(4):
        query, gallery = features(31, 24, seed)
        distance = squared(query, gallery)
        found = rerank(distance, len(query), k1, k2, lambda_, form)
        if form == "query_only" and k2 == 1:
            # The gallery has no reciprocal neighbours among the queries, and nothing to take them from.
            np.testing.assert_allclose(found, 1.0)
            continue
        np.testing.assert_allclose(found, naive(distance, 31, k1, k2, lambda_, form == "query_only"), atol=1e-12)


def test_rerank_in_the_ordinary_form_equals_fast_reid() -> None:
    query, gallery = features(60, 45)
    distance = np.sqrt(squared(query, gallery))
    expected = re_ranking(distance[:60, 60:], distance[:60, :60], distance[60:, 60:])
    np.testing.assert_allclose(PostProcessing(rerank="ordinary").distance(query, gallery), expected, atol=2e-6)
    # The paper's k1, k2 and lambda unless others are given; as exact as what it is given.
    ours = rerank(squared(query, gallery), 60)
    np.testing.assert_array_equal(ours, rerank(squared(query, gallery), 60, 20, 6, 0.3))
    assert rerank(squared(query, gallery).astype(np.float32), 60).dtype == np.float32


def test_rerank_in_its_limits_is_the_distance_or_finite() -> None:
    query, gallery = features(20, 15)
    distance = squared(query, gallery)
    only_original = rerank(distance, 20, lambda_=1.0)
    np.testing.assert_allclose(only_original, distance[:20, 20:] / distance[:20].max(axis=1, keepdims=True))
    few = rerank(distance[:5, :5], 3)
    assert few.shape == (3, 2)
    assert np.isfinite(few).all()
    assert np.isfinite(rerank(np.zeros((6, 6)), 3)).all()


def test_postprocessing_by_rerank_helps_where_clusters_are_tight() -> None:
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((15, 32))
    ids = np.repeat(np.arange(15), 20)
    matrix = centres[ids] + 1.6 * rng.standard_normal((300, 32))
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    query, gallery = np.arange(0, 300, 2), np.arange(1, 300, 2)

    def rank_1(distance: np.ndarray) -> float:
        return float((ids[gallery][distance.argmin(axis=1)] == ids[query]).mean())

    plain = rank_1(-matrix[query] @ matrix[gallery].T)
    assert rank_1(PostProcessing(rerank="ordinary").distance(matrix[query], matrix[gallery])) > plain


def test_postprocessing_by_expansion_equals_fast_reid() -> None:
    query, gallery = features(30, 25)
    expected = aqe(torch.from_numpy(query), torch.from_numpy(gallery), 2, 4, 3.0)
    left, right = (torch.nn.functional.normalize(part) for part in expected)
    found = PostProcessing(expansions=2, neighbours=4).distance(query, gallery)
    np.testing.assert_allclose(found, -(left @ right.T).numpy(), atol=1e-12)


def test_postprocessing_with_wrong_values_is_one_error() -> None:
    query, gallery = features(4, 3)
    with pytest.raises(FeatureError, match="ordinary, query_only"):
        PostProcessing(rerank="reciprocal").distance(query, gallery)
    for keys in ({"k1": 0}, {"k2": 0}, {"lambda_": 1.1}, {"lambda_": -0.1}, {"k1": 0, "lambda_": 2.0}):
        with pytest.raises(FeatureError, match="k1 and k2 must be at least 1 and lambda in"):
            rerank(squared(query, gallery), 4, **keys)
    with pytest.raises(FeatureError, match="k1 and k2 must be at least 1"):
        PostProcessing(rerank="ordinary", k1=0).distance(query, gallery)
    with pytest.raises(FeatureError, match="7 neighbors of 7 images"):
        PostProcessing(expansions=1, neighbours=7).distance(query, gallery)
    assert not PostProcessing()


@pytest.mark.parametrize("alpha", [0, 0.5, 2, 2.5, 3])
def test_postprocessing_of_opposite_features_is_finite_and_gives_them_no_weight(alpha: float) -> None:
    rng = np.random.default_rng(0)
    half = rng.standard_normal((12, 3)) + np.array([4, 0, 0])
    matrix = np.concatenate([half, -half])
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    # So many neighbors that half of them point away.
    found = PostProcessing(expansions=1, neighbours=20, alpha=alpha).distance(matrix[::2], matrix[1::2])
    assert np.isfinite(found).all()
    if alpha in (0.5, 2.5):
        cosines = matrix @ matrix.T
        weights = np.where(cosines >= np.sort(cosines, axis=1)[:, -20, None], cosines, 0).clip(0) ** alpha
        expanded = weights @ matrix
        expanded /= np.linalg.norm(expanded, axis=1, keepdims=True)
        np.testing.assert_allclose(found, -expanded[::2] @ expanded[1::2].T, atol=1e-9)


def test_postprocessing_that_loses_features_is_one_error() -> None:
    rows = np.zeros((3, 2))
    with pytest.raises(FeatureError, match="query expansion: the features of 3 of 3 images become zero"):
        PostProcessing(expansions=1, neighbours=1).distance(rows[:1], rows[1:])
    for wrong in ({"alpha": -1.0}, {"alpha": np.nan}, {"alpha": np.inf}, {"expansions": -1}):
        with pytest.raises(ConfigError, match=r"TEST\.AQE"):
            PostProcessing(**{"expansions": 1, **wrong}).check("cosine")
    with pytest.raises(FeatureError, match="re-ranking: 2 distances are not finite"):
        _rankable(np.array([[np.nan, np.inf, 1]]), "re-ranking")


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_rerank_gives_no_negative_distance_and_keeps_the_type(kind: type) -> None:
    matrix = np.repeat(features(30, 1)[0], 8, axis=0).astype(kind)  # many duplicates
    for form in ("ordinary", "query_only"):
        found = rerank(squared_distances(matrix), 100, lambda_=0.0, form=form)
        assert found.dtype == kind
        assert found.min() >= 0
        assert found.max() <= 1
