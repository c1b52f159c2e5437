"""k-reciprocal re-ranking (Zhong et al., "Re-ranking Person Re-identification with k-reciprocal Encoding", CVPR 2017).

Shapes: `Q` queries, `G` gallery images, `A` = Q + G all images.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from vireid_plugins.errors import FeatureError
from vireid_plugins.evaluation._numba import over_rows
from vireid_plugins.evaluation.choices import RERANK_FORMS
from vireid_plugins.evaluation.types import Floats


def rerank(
    squared: Floats, queries: int, k1: int = 20, k2: int = 6, lambda_: float = 0.3, form: str = "ordinary"
) -> Floats:
    """Return re-ranked distances (Q, G), at least 0, in the type of `squared`.

    Args:
        squared: (A, A) squared distances between all images, queries first; symmetric.
        queries: Q.
        k1: an image's neighbors are its k1 + 1 nearest images, including itself.
        k2: local query expansion over the k2 nearest images; 1: none.
        lambda_: weight of the original distance; the Jaccard distance has 1 - lambda_.
        form: `ordinary`, as in the paper, takes neighbors from all images; `query_only` takes them from the queries
            alone, for queries and gallery images, as some code does (gallery images count as farthest).

    Raises:
        FeatureError: a number is out of range, or the form is unknown.
    """
    if form not in RERANK_FORMS:
        raise FeatureError(f"re-ranking: form must be one of {', '.join(RERANK_FORMS)}; got '{form}'")
    if k1 < 1 or k2 < 1 or not 0 <= lambda_ <= 1:
        raise FeatureError(f"re-ranking: k1 and k2 must be at least 1 and lambda in 0..1; got {k1}, {k2}, {lambda_}")
    scaled = squared / np.maximum(squared.max(axis=1, keepdims=True), np.finfo(squared.dtype).tiny)
    candidates = queries if form == "query_only" else len(squared)
    nearest = _nearest(scaled[:, :candidates], max(k1 + 1, k2))
    half = int(np.around(k1 / 2)) + 1
    weights = _encode(scaled, nearest[:, : k1 + 1], nearest[:, :half])
    if k2 > 1:
        local = nearest[:, :k2]
        starts = np.arange(0, local.size + 1, local.shape[1])
        mean = np.full(local.size, 1 / local.shape[1], dtype=weights.dtype)
        weights = _sparse(mean, local.ravel(), starts) @ weights
    jaccard = _jaccard(weights[:queries].tocsr(), weights[queries:].tocsc(), scaled.dtype)
    final: Floats = jaccard * (1 - lambda_) + scaled[:queries, queries:] * lambda_
    return np.maximum(final, 0, out=final)


def _nearest(distance: Floats, count: int) -> npt.NDArray[np.int64]:
    """Return the `count` nearest columns of every row, nearest first; ties among them keep the order of the columns."""
    count = min(count, distance.shape[1])
    nearest = np.empty((len(distance), count), np.int64)

    def part(start: int, stop: int) -> None:
        rows = distance[start:stop]
        chosen = np.sort(np.argpartition(rows, count - 1, axis=1)[:, :count], axis=1)
        order = np.argsort(np.take_along_axis(rows, chosen, axis=1), axis=1, kind="stable")
        nearest[start:stop] = np.take_along_axis(chosen, order, axis=1)

    over_rows(part, len(distance))
    return nearest


def _encode(scaled: Floats, near: npt.NDArray[np.int64], half: npt.NDArray[np.int64]) -> Any:
    """Return the sparse (A, A) matrix of Gaussian weights on each image's expanded k-reciprocal neighbors."""
    size = near.shape[1] * (1 + half.shape[1])
    members = np.zeros((len(scaled), size), np.int64)
    values = np.zeros((len(scaled), size), scaled.dtype)
    counts = np.zeros(len(scaled), np.int64)
    from vireid_plugins.evaluation._rerank_loops import expand  # not at the top: numba is slow to import

    over_rows(lambda start, stop: expand(start, stop, scaled, near, half, members, values, counts), len(scaled))
    kept = np.arange(size) < counts[:, None]
    starts = np.concatenate([[0], counts.cumsum()])
    return _sparse(values[kept], members[kept], starts)


def _sparse(values: Floats, columns: npt.NDArray[np.int64], starts: npt.NDArray[np.int64]) -> Any:
    """Return the sparse (A, A) matrix whose row i has the values and columns from `starts[i]` to `starts[i + 1]`."""
    from scipy.sparse import csr_matrix  # not at the top: scipy takes a tenth of a second to import

    images = len(starts) - 1
    return csr_matrix((values, columns, starts), shape=(images, images))


def _jaccard(query: Any, gallery: Any, dtype: Any) -> Floats:
    """Return 1 - sum(min) / sum(max) for all pairs of rows, from 0 to 1; every row sums to 1 or is empty."""
    distance = np.empty((query.shape[0], gallery.shape[0]), dtype)
    arguments = (query.indptr, query.indices, query.data, gallery.indptr, gallery.indices, gallery.data, distance)
    from vireid_plugins.evaluation._rerank_loops import overlap

    over_rows(lambda start, stop: overlap(start, stop, *arguments), len(distance))
    # Rounding leaves sums of weights a little above 1.
    return np.clip(distance, 0, 1, out=distance)
