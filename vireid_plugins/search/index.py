"""Which faiss index a gallery of some size gets, how it is built, and what its recall is.

Flat is exact and fine up to some hundred thousand images. IVF-PQ (Jegou et al., TPAMI 2011) keeps codes of D / 4 bytes
and finds candidates, whose order the vectors decide. HNSW was measured beside them and left out: at a million vectors
it is slower to build and to search than IVF-PQ at equal recall, and cannot forget (docs/image_search.md).
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
# Size up to which an index is flat.
FLAT_LIMIT = 200_000
# Recall@10 that the effort of a search is raised for, what a doubling must add to be worth it, least and most effort.
WANTED_RECALL, WORTH, LEAST_EFFORT, MOST_EFFORT = 0.95, 0.005, 16, 1024
# Candidates of an index of codes for each image that is wanted.
REFINED = 10
# Vectors that IVF-PQ is trained on, a list.
TRAINING_PER_LIST = 64


class IndexKind(str, Enum):
    """How a gallery is indexed."""

    FLAT = "flat"
    IVFPQ = "ivfpq"


def choose_kind(count: int) -> IndexKind:
    """Return the kind for so many images."""
    return IndexKind.FLAT if count <= FLAT_LIMIT else IndexKind.IVFPQ


def new_index(kind: IndexKind, vectors: Vectors) -> Any:
    """Return an empty faiss index by inner product, trained on `vectors` (n, D) where its kind needs that.

    Numbers of one's own go with the vectors (`add_with_ids`).
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
    """Set how many lists IVF looks at; nothing for a flat index."""
    if isinstance(index, faiss.IndexIVF):
        index.nprobe = min(effort, index.nlist)


def search(
    index: Any, queries: Vectors, top: int, exact: tuple[Vectors, Numbers] | None = None
) -> tuple[Vectors, Numbers]:
    """Return similarities (Q, top) and numbers (Q, top), best first; -1 where there are no more.

    Args:
        index: of `new_index`.
        queries: (Q, D), L2-normalised.
        top: how many.
        exact: the vectors (n, D) in the index and their numbers (n,), ascending. An index of codes then finds REFINED
            times as many, and the best of them by their vectors are returned.
    """
    queries = np.ascontiguousarray(queries, np.float32)
    if exact is None or not isinstance(index, faiss.IndexIVF):
        similarities, numbers = index.search(queries, top)
        return similarities, numbers
    _, candidates = index.search(queries, REFINED * top)
    vectors, known = exact
    similarities = np.full(candidates.shape, -np.inf, np.float32)
    for row, (query, some) in enumerate(zip(queries, candidates, strict=True)):
        found = some >= 0
        similarities[row, found] = vectors[np.searchsorted(known, some[found])] @ query
    order = np.argsort(-similarities, axis=1, kind="stable")[:, :top]
    return np.take_along_axis(similarities, order, 1), np.take_along_axis(candidates, order, 1)


def measured_recall(index: Any, vectors: Vectors, numbers: Numbers, queries: int = 100, top: int = 10) -> float:
    """Return recall@top: the share of the exact nearest that the index finds.

    Queries are vectors of the gallery, moved by a random vector of length 1, to a cosine of about 0.7: as far as a
    person's image of the other modality may be. Queries that are like nothing in the gallery find less.

    Args:
        index: holds the vectors.
        vectors: (n, D) that are in it.
        numbers: (n,) theirs, ascending.
        queries: how many are tried.
        top: how many nearest.
    """
    rng = np.random.default_rng(0)
    chosen = rng.integers(0, len(vectors), min(queries, len(vectors)))
    moved = vectors[chosen] + rng.standard_normal((len(chosen), vectors.shape[1])) / sqrt(vectors.shape[1])
    moved = (moved / np.linalg.norm(moved, axis=1, keepdims=True)).astype(np.float32)
    top = min(top, len(vectors))
    nearest = np.argpartition(-(moved @ vectors.T), top - 1, axis=1)[:, :top]
    found = search(index, moved, top, (vectors, numbers))[1]
    hits = [len(set(numbers[row].tolist()) & set(one.tolist())) for row, one in zip(nearest, found, strict=True)]
    return sum(hits) / (top * len(hits))


def tuned_effort(index: Any, vectors: Vectors, numbers: Numbers) -> tuple[int, float]:
    """Return the least effort with which recall@10 is what is wanted, or no longer grows, and that recall."""
    effort, best = LEAST_EFFORT, (LEAST_EFFORT, -1.0)
    while True:
        set_effort(index, effort)
        recall = measured_recall(index, vectors, numbers)
        if recall < best[1] + WORTH:
            set_effort(index, best[0])
            return best
        best = (effort, recall)
        if recall >= WANTED_RECALL or effort >= MOST_EFFORT:
            return best
        effort *= 2


def add(index: Any, vectors: Vectors, numbers: Sequence[int] | Numbers) -> None:
    """Add vectors (n, D) with their numbers (n,)."""
    index.add_with_ids(np.ascontiguousarray(vectors, np.float32), np.asarray(numbers, np.int64))
