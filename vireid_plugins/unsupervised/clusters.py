"""Pseudo labels: DBSCAN on sparse Jaccard distances, means of clusters, and how good clusters are.

Shapes: `N` images, `D` embedding, `K` clusters.
"""

from collections.abc import Mapping

import numpy as np

from vireid_plugins.data.batch import NONE
from vireid_plugins.unsupervised.neighbors import Floats, Ints, jaccard


def cluster(features: Floats, *, k1: int, k2: int, eps: float, min_samples: int, renormalize: bool = False) -> Ints:
    """Return the cluster (N,) of each image, numbered from 0 in the order of the images; -1: in none.

    Args:
        features: (N, D) float32, as released means of the normalized features of an image and its mirror image.
        k1: see `jaccard`.
        k2: see `jaccard`.
        eps: largest Jaccard distance of neighbors in DBSCAN.
        min_samples: neighbors, an image itself among them, that make it the core of a cluster.
        renormalize: L2-normalize the features first; the released code does not, which changes neighbors.

    Raises:
        FeatureError: a feature is not finite, or a number is out of range.
    """
    if not len(features):
        return np.empty(0, np.int64)
    from sklearn.cluster import DBSCAN  # not at the top: scikit-learn is slow to import

    distances = jaccard(_unit(features) if renormalize else features, k1, k2, eps)
    labels = DBSCAN(eps=eps, min_samples=min_samples, metric="precomputed").fit_predict(distances)
    return np.asarray(labels, dtype=np.int64)


def cluster_means(features: Floats, labels: Ints) -> Floats:
    """Return the L2-normalized means (K, D) of the clusters' features.

    Args:
        features: (N, D).
        labels: (N,) clusters, each number from 0 to K - 1 at least once; -1: none.
    """
    clustered = labels != NONE
    labels = labels[clustered]
    order = np.argsort(labels, kind="stable")
    starts = np.flatnonzero(np.diff(labels[order], prepend=NONE))
    if not len(starts):
        return np.empty((0, features.shape[1]), features.dtype)
    sums = np.add.reduceat(features[clustered][order], starts, axis=0)
    return _unit(sums / np.diff(starts, append=len(order))[:, None].astype(features.dtype))


def quality(labels: Ints, truth: Ints) -> dict[str, float]:
    """Return how well clusters agree with true identities, which nothing but a log may know.

    Noise, the images in no cluster, is left out of all scores but its own share, so that a few pure clusters score
    well: read the scores beside `noise`.

    Args:
        labels: (N,) clusters; -1: none.
        truth: (N,) identities.

    Returns:
        "clusters", their number; "noise", share of the images in none; "purity", share of the clustered images that
        have the commonest identity of their cluster; "nmi", normalized mutual information (arithmetic mean); "ari",
        adjusted Rand index. The last three are NaN without a cluster.
    """
    clustered = labels != NONE
    found, true = labels[clustered], np.unique(truth[clustered], return_inverse=True)[1]
    scores = {
        "clusters": float(len(np.unique(found))),
        "noise": float(1 - clustered.mean()) if len(labels) else np.nan,
    }
    if not len(found):
        return scores | {"purity": np.nan, "nmi": np.nan, "ari": np.nan}
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    pairs, counts = np.unique(np.stack([found, true]), axis=1, return_counts=True)
    commonest = np.zeros(found.max() + 1, np.int64)
    np.maximum.at(commonest, pairs[0], counts)
    return scores | {
        "purity": float(commonest.sum() / len(found)),
        "nmi": float(normalized_mutual_info_score(true, found)),
        "ari": float(adjusted_rand_score(true, found)),
    }


def across(labels: Mapping[str, Ints], infrared_of: Ints) -> Ints:
    """Return the clusters (N_V + N_R,) of both modalities together, for `quality` across them.

    Args:
        labels: "visible" (N_V,) and "infrared" (N_R,).
        infrared_of: (K_V,) infrared cluster of each visible one (`r2i`), which becomes one cluster with it; -1: none.
    """
    visible, infrared = labels["visible"], labels["infrared"]
    count = int(infrared.max(initial=NONE)) + 1
    joined = np.where(infrared_of == NONE, count + np.arange(len(infrared_of)), infrared_of)
    # The last place is that of images in no cluster.
    return np.concatenate([np.append(joined, NONE)[visible], infrared])


def _unit(rows: Floats) -> Floats:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Floats = rows / np.maximum(norms, np.finfo(rows.dtype).tiny)
    return unit
