"""k-reciprocal Jaccard distances between all images, of which only the small ones are computed and kept.

Zhong et al., "Re-ranking Person Re-identification with k-reciprocal Encoding", CVPR 2017, as the released code of
Cluster Contrast, ADCA and PGM computes it: an image is among its own k1 neighbors, V_ij is the softmax over the grown
set of -(2 - 2 f_i . f_j), also if the features are not normalized, and V becomes the mean of the first k2 neighbors'.
The released code fills a dense N x N matrix; here V and the distances are sparse.

Shapes: `N` images, `D` embedding.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from vireid_plugins.errors import FeatureError

Floats = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]


def nearest(features: Floats, count: int) -> Ints:
    """Return the `count` nearest images (N, count) of each image by the Euclidean distance, nearest first.

    Each image is its own first neighbor, also among exact duplicates.

    Args:
        features: (N, D) float32.
        count: at most N.
    """
    import faiss  # not at the top: it is slow to import

    index = faiss.IndexFlatL2(features.shape[1])
    index.add(features)
    found: Ints = index.search(features, count)[1]
    own = np.arange(len(found))
    for i in np.flatnonzero(found[:, 0] != own):
        others = found[i][found[i] != i]
        found[i] = np.concatenate([[i], others[: count - 1]])
    return found


def jaccard(features: Floats, k1: int, k2: int, eps: float) -> Any:
    """Return the sparse matrix (N, N), CSR, of the Jaccard distances that are at most `eps`.

    Distances of 0 are entries too: what has no entry is farther. Rows are in ascending order of the columns.

    Args:
        features: (N, D) float32; neighbors are the nearest by the Euclidean distance of these.
        k1: number of neighbors, an image itself among them.
        k2: V is averaged over so many of the neighbors; 1: not at all.
        eps: largest distance that is kept, above 0 and below 1.

    Raises:
        FeatureError: a feature is not finite, or a number is out of range.
    """
    if not np.isfinite(features).all():
        raise FeatureError("clustering: features must be finite; got NaN or infinite ones")
    if min(k1, k2) < 1 or not 0 < eps < 1:
        raise FeatureError(
            f"clustering: k1 and k2 must be at least 1 and eps above 0 and below 1; got {k1}, {k2} and {eps}"
        )
    features = np.ascontiguousarray(features, dtype=np.float32)
    near = nearest(features, min(max(k1, k2), len(features)))
    weights = _encode(features, near[:, :k1], near[:, : int(np.around(k1 / 2)) + 1])
    if k2 > 1:
        local = near[:, :k2]
        starts = np.arange(0, local.size + 1, local.shape[1])
        mean = np.full(local.size, 1 / local.shape[1], dtype=np.float32)
        weights = _sparse(mean, local.ravel(), starts) @ weights
    # Of features longer than 1; the sums of `near_rows` begin at 0.
    weights.eliminate_zeros()
    return _near(weights, weights.tocsc(), np.float32(eps))


def _encode(features: Floats, near: Ints, half: Ints) -> Any:
    """Return V (N, N), sparse: weights on each image's expanded k-reciprocal neighbors."""
    from vireid_plugins.evaluation._numba import over_rows  # not at the top: numba is slow to import
    from vireid_plugins.unsupervised._jaccard_loops import encode

    size = min(near.shape[1] * (1 + half.shape[1]), len(features))
    members = np.zeros((len(features), size), np.int32)
    values = np.zeros((len(features), size), np.float32)
    counts = np.zeros(len(features), np.int64)
    over_rows(lambda start, stop: encode(start, stop, features, near, half, members, values, counts), len(features))
    kept = np.arange(size) < counts[:, None]
    return _sparse(values[kept], members[kept], np.concatenate([[0], counts.cumsum()]))


def _near(rows: Any, columns: Any, eps: np.float32) -> Any:
    from vireid_plugins.evaluation._numba import over_rows
    from vireid_plugins.unsupervised._jaccard_loops import near_rows

    images = rows.shape[0]
    arrays = rows.indptr, rows.indices, rows.data, columns.indptr, columns.indices, columns.data
    counts = np.zeros(images, np.int64)
    parts: dict[int, tuple[Any, Any]] = {}

    def work(start: int, stop: int) -> None:
        parts[start] = near_rows(start, stop, *arrays, eps, counts)

    over_rows(work, images)
    found, distances = (np.concatenate(arrays) for arrays in zip(*(parts[at] for at in sorted(parts)), strict=True))
    return _sparse(distances, found, np.concatenate([[0], counts.cumsum()]))


def _sparse(values: Floats, columns: npt.NDArray[Any], starts: Ints) -> Any:
    """Return the sparse (N, N) matrix whose row i has the values and columns from `starts[i]` to `starts[i + 1]`."""
    from scipy.sparse import csr_matrix  # not at the top: scipy takes a tenth of a second to import

    images = len(starts) - 1
    return csr_matrix((values, columns, starts), shape=(images, images))
