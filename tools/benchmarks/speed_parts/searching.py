"""Search in 1,000,000 clustered vectors of 256 numbers: build time, query time, recall@10, memory; and in 5,000."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import faiss
import numpy as np

from speed_parts.measure import Subject
from speed_parts.sizes import size
from vireid_plugins.search.index import (
    IndexKind,
    Vectors,
    add,
    measured_recall,
    new_index,
    search,
    set_effort,
    tuned_effort,
)

COUNT, WIDTH, CLUSTERS, QUERIES, TOP = *size((1_000_000, 256, 20_000), (2000, 16, 50)), size(1000, 20), 10
# A folder of some thousand images, and so few queries that faiss alone searches them one by one.
FEW, FEW_QUERIES = size((5_000, 400), (500, 40))
# Images of one person are closer to each other than to those of others, but not identical.
SPREAD = 0.7


def clustered(count: int, seed: int = 0) -> Vectors:
    """Return L2-normalized vectors (count, WIDTH) around CLUSTERS centers."""
    rng = np.random.default_rng(0)
    centers = rng.standard_normal((CLUSTERS, WIDTH), dtype=np.float32)
    rng = np.random.default_rng([1, seed])
    vectors = centers[rng.integers(CLUSTERS, size=count)]
    vectors += SPREAD * rng.standard_normal(vectors.shape, dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def _file(folder: Path, kind: IndexKind) -> Path:
    return folder / f"{kind.value}.faiss"


def _build(kind: IndexKind, folder: Path, device: str) -> Callable[[], object]:
    vectors = clustered(COUNT)

    def run() -> None:
        index = new_index(kind, vectors)
        add(index, vectors, np.arange(COUNT))
        faiss.write_index(index, str(_file(folder, kind)))

    return run


def _query(kind: IndexKind, folder: Path, device: str) -> Callable[[], object]:
    """Load the index that `_build` wrote, raise the search effort until the recall is reached, and search."""
    index = faiss.read_index(str(_file(folder, kind)))
    vectors, effort, recall = clustered(COUNT), 0, 1.0
    if kind is not IndexKind.FLAT:
        effort, recall = tuned_effort(index, vectors, np.arange(COUNT))
        set_effort(index, effort)
        recall = measured_recall(index, vectors, np.arange(COUNT), queries=200)
    numbers = np.arange(COUNT)
    queries = clustered(QUERIES, seed=1)
    written = _file(folder, kind).stat().st_size / 2**30

    def run() -> dict[str, float]:
        search(index, queries, TOP, (vectors, numbers))
        return {"recall@10": recall, "effort": effort, "index GiB": written}

    return run


def _small(here: bool, folder: Path, device: str) -> Callable[[], object]:
    """Search a small folder, as this package does or with faiss's own choice between a matrix product and loops."""
    vectors, queries = clustered(FEW), clustered(FEW_QUERIES, seed=1)
    index = new_index(IndexKind.FLAT, vectors)
    add(index, vectors, np.arange(FEW))
    own_choice = faiss.cvar.distance_compute_blas_threshold

    def run() -> None:
        if here:
            search(index, queries, TOP)
        else:
            faiss.cvar.distance_compute_blas_threshold = own_choice
            index.search(queries, TOP)

    return run


_NAMES = {IndexKind.FLAT: "flat", IndexKind.IVFPQ: "IVF-PQ"}
SUBJECTS = [
    *(
        Subject(f"building over {COUNT:,} vectors of {WIDTH}", name, partial(_build, kind), slow=True, items=COUNT)
        for kind, name in _NAMES.items()
    ),
    *(
        Subject(f"{QUERIES:,} queries, the nearest {TOP}", name, partial(_query, kind), items=QUERIES)
        for kind, name in _NAMES.items()
    ),
    *(
        Subject(f"{FEW_QUERIES} queries over {FEW:,} vectors", name, partial(_small, here), items=FEW_QUERIES)
        for here, name in ((False, "faiss's choice"), (True, "here"))
    ),
]
