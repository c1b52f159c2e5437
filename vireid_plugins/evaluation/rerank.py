"""k-reciprocal re-ranking (Zhong et al., "Re-ranking Person Re-identification with k-reciprocal Encoding", CVPR 2017).

Shapes: `Q` queries, `G` gallery images, `A` = Q + G all images.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from vireid_plugins.errors import FeatureError
from vireid_plugins.evaluation.compiled import compiled, over_rows
from vireid_plugins.evaluation.places import Floats

FORMS = ("ordinary", "query_only")


def rerank(
    squared: Floats, queries: int, k1: int = 20, k2: int = 6, lambda_: float = 0.3, form: str = "ordinary"
) -> Floats:
    """Return re-ranked distances (Q, G).

    Args:
        squared: (A, A) squared distances between all images, queries first; symmetric.
        queries: Q.
        k1: an image's neighbours, itself included, are its k1 + 1 nearest.
        k2: local query expansion over the k2 nearest; 1 is none.
        lambda_: weight of the original distance beside the Jaccard distance.
        form: `ordinary`, the paper's, takes neighbours from all images; `query_only` takes them from the queries alone,
            for queries and gallery images alike, as some code does (the gallery's columns count as farthest).

    Raises:
        FeatureError: a number is out of range, or the form does not exist.
    """
    if form not in FORMS:
        raise FeatureError(f"re-ranking: form must be one of {', '.join(FORMS)}; got '{form}'")
    if k1 < 1 or k2 < 1 or not 0 <= lambda_ <= 1:
        raise FeatureError(f"re-ranking: k1 and k2 must be at least 1 and lambda in 0..1; got {k1}, {k2}, {lambda_}")
    scaled = squared / np.maximum(squared.max(axis=1, keepdims=True), np.finfo(squared.dtype).tiny)
    candidates = queries if form == "query_only" else len(squared)
    nearest = _nearest(scaled[:, :candidates], max(k1 + 1, k2))
    half = int(np.around(k1 / 2)) + 1
    weights = _encode(scaled, nearest[:, : k1 + 1], nearest[:, :half])
    if k2 > 1:
        chosen = nearest[:, :k2]
        starts = np.arange(0, chosen.size + 1, chosen.shape[1])
        mean = np.full(chosen.size, 1 / chosen.shape[1], dtype=weights.dtype)
        weights = csr_matrix((mean, chosen.ravel(), starts), shape=weights.shape) @ weights
    jaccard = _jaccard(weights[:queries].tocsr(), weights[queries:].tocsc(), scaled.dtype)
    final: Floats = jaccard * (1 - lambda_) + scaled[:queries, queries:] * lambda_
    return final


def _nearest(distance: Floats, count: int) -> npt.NDArray[np.int64]:
    """Return the `count` nearest columns of every row, nearest first, ties among them in the order of the columns."""
    count = min(count, distance.shape[1])
    found = np.empty((len(distance), count), np.int64)

    def part(start: int, stop: int) -> None:
        rows = distance[start:stop]
        chosen = np.sort(np.argpartition(rows, count - 1, axis=1)[:, :count], axis=1)
        order = np.argsort(np.take_along_axis(rows, chosen, axis=1), axis=1, kind="stable")
        found[start:stop] = np.take_along_axis(chosen, order, axis=1)

    over_rows(part, len(distance))
    return found


def _encode(scaled: Floats, near: npt.NDArray[np.int64], half: npt.NDArray[np.int64]) -> Any:
    """Return the sparse (A, A) rows of Gaussian weights on each image's expanded k-reciprocal neighbours."""
    size = near.shape[1] * (1 + half.shape[1])
    members = np.zeros((len(scaled), size), np.int64)
    values = np.zeros((len(scaled), size), scaled.dtype)
    counts = np.zeros(len(scaled), np.int64)
    over_rows(lambda start, stop: _expand(start, stop, scaled, near, half, members, values, counts), len(scaled))
    kept = np.arange(size) < counts[:, None]
    starts = np.concatenate([[0], counts.cumsum()])
    return csr_matrix((values[kept], members[kept], starts), shape=scaled.shape)


@compiled
def _expand(start: int, stop: int, scaled: Any, near: Any, half: Any, members: Any, values: Any, counts: Any) -> None:
    core = np.empty(near.shape[1], np.int64)
    small = np.empty(half.shape[1], np.int64)
    for i in range(start, stop):
        size = 0
        for neighbour in near[i]:
            if np.any(near[neighbour] == i):
                core[size] = neighbour
                size += 1
        found = size
        members[i, :size] = core[:size]
        for candidate in core[:size]:
            few = 0
            shared: Any = 0
            for neighbour in half[candidate]:
                if np.any(half[neighbour] == candidate):
                    small[few] = neighbour
                    few += 1
                    shared += np.any(core[:size] == neighbour)
            if shared > 2 / 3 * few:
                for neighbour in small[:few]:
                    if not np.any(members[i, :found] == neighbour):
                        members[i, found] = neighbour
                        found += 1
        members[i, :found].sort()
        total = 0.0
        for m in range(found):
            values[i, m] = np.exp(-scaled[i, members[i, m]])
            total += values[i, m]
        for m in range(found):
            values[i, m] /= total
        counts[i] = found


def _jaccard(query: Any, gallery: Any, dtype: Any) -> Floats:
    """Return 1 - sum(min) / sum(max) of all pairs of rows; every row sums to 1 or is empty."""
    distance = np.empty((query.shape[0], gallery.shape[0]), dtype)
    arguments = (query.indptr, query.indices, query.data, gallery.indptr, gallery.indices, gallery.data, distance)
    over_rows(lambda start, stop: _overlap(start, stop, *arguments), len(distance))
    return distance


@compiled
def _overlap(
    start: int,
    stop: int,
    query_starts: Any,
    query_columns: Any,
    query_values: Any,
    gallery_starts: Any,
    gallery_rows: Any,
    gallery_values: Any,
    distance: Any,
) -> None:
    for q in range(start, stop):
        row = distance[q]
        row[:] = 0
        for n in range(query_starts[q], query_starts[q + 1]):
            column, value = query_columns[n], query_values[n]
            for m in range(gallery_starts[column], gallery_starts[column + 1]):
                row[gallery_rows[m]] += min(value, gallery_values[m])
        for g in range(len(row)):
            row[g] = 1 - row[g] / (2 - row[g])
