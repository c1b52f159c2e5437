"""Galleries of vectors in both engines: building, adding, queries with and without a filter of 7 %, disk, memory."""

import json
import multiprocessing
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import faiss
import numpy as np

from speed_parts.measure import Subject
from speed_parts.sizes import SMALLEST, size
from vireid_plugins.search import Condition, Record, Where
from vireid_plugins.search.engines.base import Engine, Vectors
from vireid_plugins.search.engines.kind import Kind, opened

# Vectors of each gallery, their width, centers of the clusters, queries in a batch, results.
COUNTS = size((10_000, 100_000, 1_000_000), (300, 600))
WIDTH, CLUSTERS, QUERIES, TOP, ADDED = *size((256, 20_000, 512), (16, 50, 20)), 10, size(1000, 20)
# The widest gallery, in half precision, and the single queries whose times are told: of the widest, of others.
WIDE, FEW, SINGLE = size(2048, 24), size(20, 2), size(100, 5)
# Images of one person are closer to each other than to those of others, but not identical.
SPREAD = 0.7
# One camera of a hundred has 7 % of the images.
FILTERED = "7"
FILTER = Where((Condition("camera", "=", FILTERED),))
# Vectors that are made and added at once; galleries of more are measured once; queries whose recall is told.
BLOCK, OFTEN, COMPARED = 100_000, 100_000, 20
# Vectors that are compared at once to learn the truth, and the file of it.
PART, TRUTH = 10_000, ".truth"
FAISS, MILVUS = "faiss", "milvus, embedded"


def clustered(count: int, seed: int = 0, width: int = WIDTH) -> Vectors:
    """Return L2-normalized vectors (count, width) around CLUSTERS centers."""
    rng = np.random.default_rng(0)
    centers = rng.standard_normal((CLUSTERS, width), dtype=np.float32)
    rng = np.random.default_rng([1, seed])
    vectors = centers[rng.integers(CLUSTERS, size=count)]
    vectors += SPREAD * rng.standard_normal(vectors.shape, dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def _records(count: int, first: int = 0) -> list[Record]:
    return [
        Record(f"/photos/{n // 1000}/{n}.jpg", n % 2, camera=FILTERED if n % 100 < 7 else f"c{n % 97}")
        for n in range(first, first + count)
    ]


class Made(NamedTuple):
    """A gallery to be measured: its engine, number of vectors, and their width and type."""

    engine: str
    total: int
    width: int = WIDTH
    dtype: str = "float32"

    def __str__(self) -> str:
        return f"{self.total:,} x {self.width}" + (f", {self.dtype}" if self.dtype != "float32" else "")

    def create(self, place: Path) -> Engine:
        """Create the gallery, empty."""
        return Kind("" if self.engine == FAISS else "milvus", dtype=self.dtype).create(place, self.width)

    def fill(self, engine: Engine) -> None:
        """Add its vectors."""
        for records, vectors in self.blocks():
            engine.upsert(records, vectors)

    def blocks(self) -> Iterator[tuple[list[Record], Vectors]]:
        """Yield its records and vectors in blocks that fit into memory."""
        for number, start in enumerate(range(0, self.total, BLOCK)):
            count = min(BLOCK, self.total - start)
            yield _records(count, start), clustered(count, 10 + number, self.width)

    def open(self, folder: Path) -> Engine:
        """Open the gallery below a folder; it is written once, by a process whose memory is not that of a search."""
        place = folder / f"{self.engine} {self}"
        if not place.is_dir():
            if SMALLEST:
                self.write(place)
            else:
                with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
                    pool.submit(self.write, place).result()
        return opened(place)

    def write(self, place: Path) -> None:
        """Write the gallery, and beside it what the first queries are to find."""
        with self.create(place) as engine:
            self.fill(engine)
            engine.flush()
        place.with_suffix(TRUTH).write_text(json.dumps([self.nearest(where) for where in (None, FILTER)]))

    def nearest(self, where: Where | None) -> list[list[str]]:
        """Return the keys of the truly nearest images of the first queries, by the vectors that an engine is given."""
        asked = clustered(QUERIES, 1, self.width)[:COMPARED].astype(np.float64)
        keys: list[str] = []
        cosines = [np.zeros((len(asked), 0))]
        for records, vectors in self.blocks():
            passing = [n for n, one in enumerate(records) if where is None or one.camera == FILTERED]
            keys += [records[n].key for n in passing]
            # In parts, since they are doubled in size.
            cosines += [
                asked @ vectors[passing[n : n + PART]].astype(np.float64).T for n in range(0, len(passing), PART)
            ]
        return [[keys[one] for one in row] for row in np.argsort(-np.hstack(cosines), axis=1)[:, :TOP]]


def _build(made: Made, folder: Path, device: str) -> Callable[[], object]:
    place = folder / "built"

    def run() -> dict[str, float]:
        shutil.rmtree(place, ignore_errors=True)
        with made.create(place) as engine:
            made.fill(engine)
            engine.flush()
        size_on_disk = sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
        shutil.rmtree(place)
        return {"disk GiB": size_on_disk / 2**30}

    return run


def _add(made: Made, folder: Path, device: str) -> Callable[[], object]:
    """Add some images, and take them out again, which is measured too."""
    engine = made.open(folder)
    vectors, records = clustered(ADDED, seed=2), _records(ADDED, first=10**8)

    def run() -> None:
        engine.upsert(records, vectors)
        engine.remove([one.key for one in records])
        engine.flush()

    return run


def _batch(made: Made, where: Where | None, folder: Path, device: str) -> Callable[[], object]:
    """Search with a batch of queries, and tell which share of the truly nearest are found."""
    engine, asked = made.open(folder), clustered(QUERIES, 1, made.width)
    truth = (folder / f"{made.engine} {made}").with_suffix(TRUTH)
    wanted = [set(keys) for keys in json.loads(truth.read_text())[where is not None]]
    engine.nearest(asked[:1], TOP, where)

    def run() -> dict[str, float]:
        found = engine.nearest(asked, TOP, where)
        shares = [
            len(keys & {one.record.key for one in row}) / len(keys)
            for keys, row in zip(wanted, found[: len(wanted)], strict=True)
        ]
        return {"recall@10": float(np.mean(shares))}

    return run


def _singles(made: Made) -> int:
    return FEW if made.width == WIDE else SINGLE


def _single(made: Made, where: Where | None, folder: Path, device: str) -> Callable[[], object]:
    """Search with queries one after the other."""
    engine, asked = made.open(folder), clustered(_singles(made), 1, made.width)
    engine.nearest(asked[:1], TOP, where)

    def run() -> dict[str, float]:
        times = []
        for query in asked:
            start = time.perf_counter()
            engine.nearest(query[None], TOP, where)
            times.append(1000 * (time.perf_counter() - start))
        return {"p50 ms": float(np.percentile(times, 50)), "p99 ms": float(np.percentile(times, 99))}

    return run


def _faiss(made: Made, queries: int, folder: Path, device: str) -> Callable[[], object]:
    """Search a flat index of faiss alone, in memory, without records."""
    index, asked = faiss.IndexFlatIP(made.width), clustered(queries, 1, made.width)
    for _, vectors in made.blocks():
        index.add(vectors)
    return lambda: index.search(asked, TOP)


def _of(made: Made) -> list[Subject]:
    """Return what is measured of a gallery."""
    way, singles = made.engine, _singles(made)
    batch, single = f"a batch of {QUERIES} queries, {made}", f"{singles} queries one by one, {made}"
    found = [Subject(f"building {made}", way, partial(_build, made), slow=True, items=made.total)]
    # Of a large gallery a query of Milvus takes seconds.
    slow = made.total > OFTEN
    for task, prepare, items in ((batch, _batch, QUERIES), (single, _single, singles)):
        found += [
            Subject(task, way, partial(prepare, made, None), slow=slow, items=items),
            Subject(task, f"{way}, 7 % filter", partial(prepare, made, FILTER), slow=slow, items=items),
        ]
        if way == FAISS and made.dtype == "float32" and prepare is _batch:
            found.append(Subject(task, "bare flat index in memory", partial(_faiss, made, QUERIES), items=QUERIES))
    return found


def _subjects() -> list[Subject]:
    found = [subject for count in COUNTS for way in (FAISS, MILVUS) for subject in _of(Made(way, count))]
    found += _of(Made(FAISS, COUNTS[-1], WIDE, "float16"))
    for way in (FAISS, MILVUS):
        for count in (0, *COUNTS[1:]):
            task = f"adding {ADDED:,} and removing them, {way}"
            found.append(Subject(task, f"a gallery of {count:,}", partial(_add, Made(way, count)), items=ADDED))
    return found


SUBJECTS = _subjects()
