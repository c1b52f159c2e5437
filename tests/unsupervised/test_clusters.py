import numpy as np
import pytest
import torch
from cluster_inputs import CLUSTERINGS, Floats, clustering_features, fixture
from fastreid.utils.compute_dist import compute_jaccard_distance
from sklearn.cluster import DBSCAN

from vireid_plugins.errors import FeatureError
from vireid_plugins.unsupervised.clusters import across, cluster, cluster_means, quality
from vireid_plugins.unsupervised.neighbors import jaccard, nearest


def options(case: str) -> tuple[int, int, tuple[float, ...]]:
    k1, k2, eps = CLUSTERINGS[case][8:]
    return k1, k2, eps


@pytest.mark.parametrize("case", CLUSTERINGS)
def test_nearest_equals_released_ranks(case: str) -> None:
    features, _ = clustering_features(case)
    norms = np.linalg.norm(features.astype(np.float64), axis=1)
    np.testing.assert_allclose(norms, fixture("adca")[f"a_{case}_feature_norms"], rtol=1e-7)
    np.testing.assert_array_equal(nearest(features, options(case)[0]), fixture("adca")[f"a_{case}_rank"])


@pytest.mark.parametrize("case", CLUSTERINGS)
@pytest.mark.parametrize("eps", [0.5, 0.99])
def test_jaccard_equals_released_distances(case: str, eps: float) -> None:
    features, _ = clustering_features(case)
    k1, k2, _ = options(case)
    expected = fixture("adca")[f"a_{case}_jaccard"]
    sparse = jaccard(features, k1, k2, eps)
    found = sparse.tocoo()
    np.testing.assert_allclose(found.data, expected[found.row, found.col], atol=2e-6)
    kept = np.zeros(expected.shape, bool)
    kept[found.row, found.col] = True
    assert (expected[~kept] > eps - 2e-6).all()
    assert (np.diff(found.row * len(expected) + found.col) > 0).all()
    assert (sparse.diagonal() < 2e-6).all()


@pytest.mark.parametrize("case", CLUSTERINGS)
def test_cluster_equals_released_labels_and_memories(case: str) -> None:
    features, _ = clustering_features(case)
    k1, k2, values = options(case)
    for eps in values:
        labels = cluster(features, k1=k1, k2=k2, eps=eps, min_samples=4)
        np.testing.assert_array_equal(labels, fixture("adca")[f"a_{case}_labels_{eps}"])
        memory = fixture("adca")[f"a_{case}_memory_{eps}"]
        np.testing.assert_allclose(cluster_means(features, labels), memory, atol=1e-5)


def test_jaccard_of_unit_features_equals_fast_reid() -> None:
    features, _ = clustering_features("regdb")
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    dense = compute_jaccard_distance(torch.from_numpy(features), k1=30, k2=6, search_option=3)
    found = jaccard(features, 30, 6, 0.99).tocoo()
    np.testing.assert_allclose(found.data, dense[found.row, found.col], atol=2e-6)
    assert (dense < 0.99 - 2e-6).sum() <= found.nnz


def test_jaccard_of_long_features_is_that_of_the_released_softmax() -> None:
    """exp(2 f_i . f_j) alone is beyond float32; with k1 5 and k2 1 rows are few enough to write down."""
    features = 40 * clustering_features("odd")[0][:60]
    found = jaccard(features, 5, 1, 0.99)
    near = nearest(features, 5)
    own = [{int(j) for j in near[i] if i in near[j]} for i in range(60)]
    half = [{int(j) for j in near[i, :3] if i in near[j, :3]} for i in range(60)]
    weights = np.zeros((60, 60))
    for i, members in enumerate(own):
        grown = members.union(*(half[j] for j in members if len(half[j] & members) > 2 / 3 * len(half[j])))
        exponents = np.array([2 * features[i].astype(float) @ features[j] for j in sorted(grown)])
        softmax = np.exp(exponents - exponents.max())
        weights[i, sorted(grown)] = softmax / softmax.sum()
    shared = np.minimum(weights[:, None], weights).sum(2)
    dense = 1 - shared / (2 - shared)
    np.testing.assert_allclose(found.toarray(), np.where(dense <= 0.99, dense, 0), atol=1e-4)
    assert found.nnz == (dense <= 0.99).sum()


def test_cluster_renormalized_is_that_of_unit_features() -> None:
    features, _ = clustering_features("sysu")
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    chosen = {"k1": 30, "k2": 6, "eps": 0.4, "min_samples": 4}
    np.testing.assert_array_equal(cluster(features, renormalize=True, **chosen), cluster(unit, **chosen))
    found, plain = (jaccard(one, 30, 6, 0.99).toarray() for one in (unit, features))
    assert np.abs(found - plain).max() > 0.05


def test_cluster_of_renamed_images_is_the_same_but_for_numbers() -> None:
    features, _ = clustering_features("regdb")
    order = np.random.RandomState(0).permutation(len(features))
    chosen = {"k1": 30, "k2": 6, "eps": 0.3, "min_samples": 4}
    labels, shuffled = cluster(features, **chosen), cluster(features[order], **chosen)
    # Border points may join another cluster; here there is none.
    assert quality(shuffled, labels[order])["ari"] == pytest.approx(1)
    assert (shuffled == -1).sum() == (labels == -1).sum()


def duplicates(times: int) -> Floats:
    """Ten different images, each so many times."""
    rows = np.random.RandomState(1).standard_normal((10, 16)).astype(np.float32)
    return np.repeat(rows / np.linalg.norm(rows, axis=1, keepdims=True), times, axis=0)


def test_cluster_of_exact_duplicates_joins_them() -> None:
    """An image that is not its own first neighbor has no neighbors, and distances of 0 are entries too."""
    features = duplicates(8)
    np.testing.assert_array_equal(nearest(features, 5)[:, 0], np.arange(len(features)))
    assert all(len(set(row)) == len(row) for row in nearest(features, 5).tolist())
    labels = cluster(features, k1=8, k2=1, eps=0.5, min_samples=4)
    np.testing.assert_array_equal(labels, np.repeat(np.arange(10), 8))
    # More duplicates than neighbors.
    assert (cluster(duplicates(40), k1=8, k2=2, eps=0.6, min_samples=1) >= 0).all()


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_cluster_of_fewer_images_than_neighbors_is_defined(count: int) -> None:
    features = clustering_features("odd")[0][:count]
    assert cluster(features, k1=30, k2=6, eps=0.6, min_samples=9).tolist() == [-1] * count
    assert cluster_means(features, np.full(count, -1)).shape == (0, 48)


def test_cluster_refuses_bad_features_and_numbers() -> None:
    features = clustering_features("odd")[0]
    with pytest.raises(FeatureError, match="eps above 0 and below 1; got 30, 6 and 1"):
        jaccard(features, 30, 6, 1.0)
    features[3, 4] = np.nan
    with pytest.raises(FeatureError, match="features must be finite"):
        cluster(features, k1=30, k2=6, eps=0.6, min_samples=4)


def test_dbscan_keeps_explicit_zeros_of_a_sparse_matrix() -> None:
    """What `cluster` relies on: a distance of 0 is an entry, a missing one is far."""
    distances = jaccard(duplicates(8), 8, 1, 0.5)
    assert (distances.data == 0).any()
    assert (DBSCAN(eps=0.5, min_samples=8, metric="precomputed").fit_predict(distances) >= 0).all()


def test_quality_of_hand_placed_clusters() -> None:
    labels, truth = np.array([0, 0, 0, 1, 1, -1]), np.array([7, 7, 9, 9, 9, 7])
    scores = quality(labels, truth)
    assert scores["clusters"] == 2
    assert scores["noise"] == pytest.approx(1 / 6)
    assert scores["purity"] == pytest.approx(4 / 5)
    # Of 10 pairs 4 are in one cluster, 4 of one identity and 2 both: (2 - 1.6) / (4 - 1.6).
    assert scores["ari"] == pytest.approx((2 - 1.6) / (4 - 1.6))
    assert 0 < scores["nmi"] < 1
    assert quality(truth, truth)["nmi"] == pytest.approx(1)


def test_quality_of_noise_alone_is_not_a_number() -> None:
    scores = quality(np.full(3, -1), np.arange(3))
    assert (scores["clusters"], scores["noise"]) == (0, 1)
    assert np.isnan([scores["purity"], scores["nmi"], scores["ari"]]).all()


def test_across_joins_associated_clusters() -> None:
    labels = {"visible": np.array([0, 1, 2, -1]), "infrared": np.array([1, 0, -1])}
    assert across(labels, np.array([1, -1, 1])).tolist() == [1, 3, 1, -1, 1, 0, -1]
    assert across(labels, np.full(3, -1)).tolist() == [2, 3, 4, -1, 1, 0, -1]
