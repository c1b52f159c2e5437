"""Affinity inference, AIM (Fang et al., SAAI, ICCV 2023; behavior of the repository xiaoye-hhh/SAAI).

With q (Q, D) and g (G, D) L2-normalized, and top_k(S) the matrix S whose entries below the k-th largest of their row
are 0:

    E_q = top_k1(q g'),   R = top_k1(g g'),   E_g = mean of the rows of R of the k2 nearest of each gallery image
    distance = - norm(E_q) norm(E_g)' - q g'

so two images are near if they are similar to the same gallery images. Entries that tie with the k-th largest stay. Only
relations to the gallery count, which is that of the trial, with images that a camera rule hides from some queries.

Whether an image is the k-th neighbor is a hard choice: where two similarities differ by no more than rounding, float32
and float64, or two libraries of matrix products, may choose differently, and a distance changes by about 1e-2.

E_q has k1 entries per row and E_g at most k1 k2, so both are sparse; besides the distances, memory grows with G.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from vireid_plugins.errors import FeatureError
from vireid_plugins.evaluation._numba import over_rows
from vireid_plugins.evaluation.types import Floats

# Rows of similarities that are held at once.
ROWS = 1024


def affinity_distance(query: Floats, gallery: Floats, k1: int, k2: int) -> Floats:
    """Return distances (Q, G), smaller is nearer, in the type of the features.

    Args:
        query: q (Q, D), L2-normalized.
        gallery: g (G, D), L2-normalized.
        k1: gallery images that an image is described by; all, if there are not more.
        k2: nearest gallery images, including itself, over which a gallery image's description is averaged; k1 of them,
            if k2 is larger.

    Raises:
        FeatureError: k1 or k2 is below 1.
    """
    if k1 < 1 or k2 < 1:
        raise FeatureError(f"affinity inference: k1 and k2 must be at least 1; got {k1}, {k2}")
    distance = np.empty((len(query), len(gallery)), np.result_type(query, gallery))
    described_queries, _ = _described(query, gallery, k1, 0, distance)
    # As released, which takes the nearest images from among the k1 that describe an image.
    relations, nearest = _described(gallery, gallery, k1, min(k1, k2, len(gallery)))
    described_gallery = relations if nearest.shape[1] == 1 else _mean_of_rows(relations, nearest)
    left, right = _unit_rows(described_queries), _unit_rows(described_gallery).T.tocsr()
    from vireid_plugins.evaluation._affinity_loop import subtract_products  # not at the top: numba is slow to import

    arguments = (left.indptr, left.indices, left.data, right.indptr, right.indices, right.data, distance)
    over_rows(lambda start, stop: subtract_products(start, stop, *arguments), len(distance))
    return distance


def _described(
    left: Floats, gallery: Floats, k1: int, k2: int, negative: Floats | None = None
) -> tuple[Any, npt.NDArray[np.int64]]:
    """Return top_k1 of the similarities (n, G) as a sparse matrix, and the k2 nearest images (n, k2) of each row.

    Args:
        left: (n, D).
        gallery: (G, D).
        k1: entries kept per row, and those that tie with the last.
        k2: nearest images; above 0 only if `left` is the gallery, where an image is its own nearest.
        negative: (n, G), filled with the negative similarities; None does not keep them.
    """
    from scipy.sparse import csr_matrix  # not at the top: scipy takes a tenth of a second to import

    count, images = len(left), len(gallery)
    nearest = np.empty((count, k2), np.int64)
    lengths, columns, values = [np.zeros(1, np.int64)], [], []
    for start in range(0, count, ROWS):
        similar = left[start : start + ROWS] @ gallery.T
        kept = similar >= _kth_largest(similar, min(k1, images))
        lengths.append(kept.sum(1))
        columns.append(kept.nonzero()[1])
        values.append(similar[kept])
        if negative is not None:
            np.negative(similar, out=negative[start : start + ROWS])
        if k2:
            own = np.arange(start, start + len(similar))
            # Rounding, or a copy of the image, must not make it anything but the first.
            similar[own - start, own] = np.inf
            nearest[start : start + ROWS] = np.argpartition(similar, images - k2, axis=1)[:, images - k2 :]
    starts = np.concatenate(lengths).cumsum()
    sparse = csr_matrix((np.concatenate(values), np.concatenate(columns), starts), shape=(count, images))
    return sparse, nearest


def _kth_largest(similar: Floats, k: int) -> Floats:
    """Return the k-th largest entry (n, 1) of each row of similarities (n, G)."""
    images = similar.shape[1]
    largest = np.empty((len(similar), 1), similar.dtype)

    def part(start: int, stop: int) -> None:
        largest[start:stop] = np.partition(similar[start:stop], images - k, axis=1)[:, images - k, None]

    over_rows(part, len(similar))
    return largest


def _mean_of_rows(relations: Any, nearest: npt.NDArray[np.int64]) -> Any:
    """Return the mean of the rows of a sparse matrix (G, G) that each row of `nearest` (G, k2) names."""
    from scipy.sparse import csr_matrix

    images, k2 = nearest.shape
    share = np.full(nearest.size, 1 / k2, relations.dtype)
    starts = np.arange(0, nearest.size + 1, k2)
    return csr_matrix((share, nearest.ravel(), starts), shape=(images, images)) @ relations


def _unit_rows(sparse: Any) -> Any:
    """Return a sparse matrix, no row of which is empty, with L2-normalized rows; rows of zeros stay."""
    lengths = np.sqrt(np.add.reduceat(np.square(sparse.data), sparse.indptr[:-1]))
    unit = sparse.copy()
    unit.data /= np.repeat(np.maximum(lengths, 1e-12), np.diff(sparse.indptr))
    return unit
