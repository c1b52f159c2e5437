"""Faiss indexes: the kind for a gallery's size, how it is built, and its recall.

A flat index is exact and fast enough up to a few hundred thousand images. IVF-PQ (Jegou et al., TPAMI 2011) stores
codes of D / 4 bytes and finds candidates, which are then ranked by their exact vectors. HNSW is not offered: at a
million vectors it is slower to build and to search than IVF-PQ at equal recall, and vectors cannot be removed
(docs/image_search.md).
"""

from collections.abc import Sequence
from enum import Enum
from math import sqrt
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int64]
# Largest number of images for which the index is flat.
FLAT_LIMIT = 200_000
# Search effort is doubled from the first to the last value until recall@10 reaches its target or gains too little.
TARGET_RECALL, LEAST_GAIN, LEAST_EFFORT, MOST_EFFORT = 0.95, 0.005, 16, 1024
# Candidates that IVF-PQ retrieves per returned image.
CANDIDATES = 10
# Queries from which on a matrix product is faster than one query after the other, on one thread and widths from 256 to
# 6,144. Older releases of faiss count queries and begin at 20; newer ones count numbers, 128,000 of them.
BLAS_QUERIES = 4
_COUNTS_NUMBERS = faiss.cvar.distance_compute_blas_threshold > 1000
# Training vectors of IVF-PQ per list.
TRAINING_PER_LIST = 64


class IndexKind(str, Enum):
    """How a gallery is indexed."""

    FLAT = "flat"
    IVFPQ = "ivfpq"


def choose_kind(count: int) -> IndexKind:
    """Return the kind of index for a number of images."""
    return IndexKind.FLAT if count <= FLAT_LIMIT else IndexKind.IVFPQ


def new_index(kind: IndexKind, vectors: Vectors) -> Any:
    """Return an empty inner-product faiss index, trained on `vectors` (n, D) if its kind needs training.

    Vectors are added with numbers that identify them (`add_with_ids`).
    """
    width = vectors.shape[1]
    if kind is IndexKind.FLAT:
        return faiss.IndexIDMap2(faiss.IndexFlatIP(width))
    lists = max(1, round(4 * sqrt(len(vectors))))
    parts = next(parts for parts in (width // 4, width // 8, width // 16, 1) if parts and width % parts == 0)
    coarse = faiss.IndexFlatIP(width)
    index = faiss.IndexIVFPQ(coarse, width, lists, parts, 8, faiss.METRIC_INNER_PRODUCT)
    sample = np.random.default_rng(0).permutation(len(vectors))[: TRAINING_PER_LIST * lists]
    index.train(vectors[np.sort(sample)])
    return index


def set_effort(index: Any, effort: int) -> None:
    """Set the number of lists that IVF visits; a flat index has no effort."""
    if isinstance(index, faiss.IndexIVF):
        index.nprobe = min(effort, index.nlist)


def use_blas_for(queries: Vectors) -> None:
    """Let faiss multiply matrices from BLAS_QUERIES queries (Q, D) on."""
    faiss.cvar.distance_compute_blas_threshold = BLAS_QUERIES * (queries.shape[1] if _COUNTS_NUMBERS else 1)


def search(
    index: Any, queries: Vectors, top: int, exact: tuple[Vectors, Numbers] | None = None
) -> tuple[Vectors, Numbers]:
    """Return similarities (Q, top) and numbers (Q, top), best first; number -1 where the index returned too few.

    Args:
        index: an index from `new_index`.
        queries: (Q, D), L2-normalized.
        top: number of results per query.
        exact: the vectors (n, D) in the index and their numbers (n,), ascending. IVF-PQ then retrieves CANDIDATES times
            as many results, which are ranked by their vectors.
    """
    queries = np.ascontiguousarray(queries, np.float32)
    use_blas_for(queries)
    if exact is None or not isinstance(index, faiss.IndexIVF):
        similarities, numbers = index.search(queries, top)
        return similarities, numbers
    _, candidates = index.search(queries, CANDIDATES * top)
    vectors, stored = exact
    similarities = np.full(candidates.shape, -np.inf, np.float32)
    for row, (query, numbers) in enumerate(zip(queries, candidates, strict=True)):
        valid = numbers >= 0
        similarities[row, valid] = vectors[np.searchsorted(stored, numbers[valid])] @ query
    order = np.argsort(-similarities, axis=1, kind="stable")[:, :top]
    return np.take_along_axis(similarities, order, 1), np.take_along_axis(candidates, order, 1)


def measured_recall(index: Any, vectors: Vectors, numbers: Numbers, queries: int = 100, top: int = 10) -> float:
    """Return recall@top: the fraction of the exact nearest vectors that the index finds.

    Queries are gallery vectors plus a random vector of length 1, which gives a cosine of about 0.7, as between images
    of a person in different modalities. Recall is lower for queries unlike anything in the gallery.

    Args:
        index: the index that contains the vectors.
        vectors: (n, D) vectors in the index.
        numbers: (n,) their numbers, ascending.
        queries: number of queries to try.
        top: number of nearest vectors per query.
    """
    rng = np.random.default_rng(0)
    sources = rng.integers(0, len(vectors), min(queries, len(vectors)))
    moved = vectors[sources] + rng.standard_normal((len(sources), vectors.shape[1])) / sqrt(vectors.shape[1])
    moved = (moved / np.linalg.norm(moved, axis=1, keepdims=True)).astype(np.float32)
    top = min(top, len(vectors))
    nearest = np.argpartition(-(moved @ vectors.T), top - 1, axis=1)[:, :top]
    retrieved = search(index, moved, top, (vectors, numbers))[1]
    hits = [len(set(numbers[row].tolist()) & set(one.tolist())) for row, one in zip(nearest, retrieved, strict=True)]
    return sum(hits) / (top * len(hits))


def tuned_effort(index: Any, vectors: Vectors, numbers: Numbers) -> tuple[int, float]:
    """Return the lowest effort at which recall@10 reaches TARGET_RECALL or stops improving, and that recall."""
    effort, best = LEAST_EFFORT, (LEAST_EFFORT, -1.0)
    while True:
        set_effort(index, effort)
        recall = measured_recall(index, vectors, numbers)
        if recall < best[1] + LEAST_GAIN:
            set_effort(index, best[0])
            return best
        best = (effort, recall)
        if recall >= TARGET_RECALL or effort >= MOST_EFFORT:
            return best
        effort *= 2


def add(index: Any, vectors: Vectors, numbers: Sequence[int] | Numbers) -> None:
    """Add vectors (n, D) with their numbers (n,)."""
    index.add_with_ids(np.ascontiguousarray(vectors, np.float32), np.asarray(numbers, np.int64))


def numbers_in(index: Any) -> Numbers:
    """Return the numbers of the vectors in an IVF index, in the order of its lists."""
    lists = index.invlists
    parts = [
        faiss.rev_swig_ptr(lists.get_ids(n), lists.list_size(n)).copy()
        for n in range(index.nlist)
        if lists.list_size(n)
    ]
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)
