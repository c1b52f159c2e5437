"""Galleries of vectors: building, adding a thousand, queries with and without a filter of 7 %, disk and memory."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import faiss
import numpy as np

from speed_parts.measure import Subject
from speed_parts.sizes import size
from vireid_plugins.search import Condition, Record, Where
from vireid_plugins.search.engines import FolderEngine
from vireid_plugins.search.engines.base import Vectors

# Vectors of each gallery, their width, centers of the clusters, queries in a batch, results.
COUNTS = size((10_000, 100_000, 1_000_000), (300, 600))
WIDTH, CLUSTERS, QUERIES, TOP, ADDED = *size((256, 20_000, 512), (16, 50, 20)), 10, size(1000, 20)
# Images of one person are closer to each other than to those of others, but not identical.
SPREAD = 0.7
# One camera of a hundred has 7 % of the images.
FILTER = Where((Condition("camera", "=", "7"),))


def clustered(count: int, seed: int = 0) -> Vectors:
    """Return L2-normalized vectors (count, WIDTH) around CLUSTERS centers."""
    rng = np.random.default_rng(0)
    centers = rng.standard_normal((CLUSTERS, WIDTH), dtype=np.float32)
    rng = np.random.default_rng([1, seed])
    vectors = centers[rng.integers(CLUSTERS, size=count)]
    vectors += SPREAD * rng.standard_normal(vectors.shape, dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def _records(count: int, first: int = 0) -> list[Record]:
    return [
        Record(f"/photos/{n // 1000}/{n}.jpg", n % 2, camera="7" if n % 100 < 7 else f"c{n % 97}")
        for n in range(first, first + count)
    ]


def _place(folder: Path, count: int) -> Path:
    """Return the folder of a gallery of so many vectors; it is written once."""
    place = folder / f"gallery of {count}"
    if not place.is_dir():
        with FolderEngine(place, WIDTH) as engine:
            engine.upsert(_records(count), clustered(count))
    return place


def _build(count: int, folder: Path, device: str) -> Callable[[], object]:
    vectors, records, place = clustered(count), _records(count), folder / "built"

    def run() -> dict[str, float]:
        shutil.rmtree(place, ignore_errors=True)
        with FolderEngine(place, WIDTH) as engine:
            engine.upsert(records, vectors)
        return {"disk GiB": sum(file.stat().st_size for file in place.iterdir()) / 2**30}

    return run


def _add(count: int, folder: Path, device: str) -> Callable[[], object]:
    """Open a gallery, add some images, and take them out again, which is measured too."""
    place = _place(folder, count) if count else folder / "alone"
    vectors, records = clustered(ADDED, seed=2), _records(ADDED, first=10**8)

    def run() -> None:
        with FolderEngine(place, WIDTH) as engine:
            engine.upsert(records, vectors)
            engine.remove([one.key for one in records])

    return run


def _query(count: int, queries: int, where: Where | None, folder: Path, device: str) -> Callable[[], object]:
    engine, asked = FolderEngine(_place(folder, count)), clustered(queries, seed=1)
    engine.nearest(asked[:1], TOP)
    return lambda: engine.nearest(asked, TOP, where)


def _faiss(count: int, queries: int, folder: Path, device: str) -> Callable[[], object]:
    """Search a flat index of faiss alone, in memory, without records."""
    index, asked = faiss.IndexFlatIP(WIDTH), clustered(queries, seed=1)
    index.add(clustered(count))
    return lambda: index.search(asked, TOP)


def _subjects() -> list[Subject]:
    found = []
    for count in COUNTS:
        name = f"{count:,} x {WIDTH}"
        found.append(Subject(f"building {name}", "faiss", partial(_build, count), slow=True, items=count))
        for queries, asked in ((QUERIES, f"a batch of {QUERIES} queries"), (1, "one query")):
            task = f"{asked}, {name}"
            found.append(Subject(task, "faiss", partial(_query, count, queries, None), items=queries))
            found.append(Subject(task, "faiss, 7 % filter", partial(_query, count, queries, FILTER), items=queries))
            found.append(Subject(task, "bare flat index in memory", partial(_faiss, count, queries), items=queries))
    task = f"adding {ADDED:,} and removing them"
    for count in (0, COUNTS[1]):
        found.append(Subject(task, f"a gallery of {count:,}", partial(_add, count), items=ADDED))
    return found


SUBJECTS = _subjects()
