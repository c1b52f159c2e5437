"""Vectors, records and filters for tests of engines, and what sorting all of them finds."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from vireid_plugins.search.engines import Condition, Engine, FolderEngine, Record, Where
from vireid_plugins.search.engines.milvus import MilvusEngine
from vireid_plugins.search.engines.milvus_place import NOTE
from vireid_plugins.search.similarity import ordered

WIDTH = 16
CAMERAS = ("a", "b", "c")


def vectors(count: int, seed: int = 0) -> Any:
    found = np.random.default_rng(seed).standard_normal((count, WIDTH)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def record(number: int, **facts: Any) -> Record:
    camera = CAMERAS[number % 3] if number % 7 else ""
    time = None if number % 5 == 0 else 1000.0 + number
    extra = {"size": number} if number % 2 else {"size": str(number), "half": number / 2}
    key = f"/photos/{'in' if number % 4 else 'out'}/{number}.jpg"
    given: dict[str, Any] = {"key": key, "modality": number % 2, "camera": camera, "time": time, "extra": extra}
    given["digest"] = f"{number % 10:x}" * 64 if number % 3 else ""
    return Record(**{**given, **facts})


@contextmanager
def milvus_server(folder: Path) -> Iterator[str]:
    """Serve milvus-lite on a port inside a `with` block, as a server of Milvus is reached; yield its address."""
    from milvus_lite.adapter.grpc.server import start_server_in_thread

    server, database, port = start_server_in_thread(str(folder))
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.stop(grace=0)
        database.close()


def opened_as(kind: str, folder: Path, uri: str = "") -> Engine:
    """Open the gallery in a folder, or create one of a kind."""
    if "milvus" in kind:
        return MilvusEngine(folder) if (folder / NOTE).exists() else MilvusEngine.create(folder, WIDTH, uri)
    return FolderEngine(folder, WIDTH, "float16" if "float16" in kind else "float32")


def assert_finds(engine: Engine, expected: dict[str, tuple[Record, Any]], where: Where | None = None) -> None:
    """What is nearest is what sorting all of them says, and records and counts are those expected."""
    passing = {key: one for key, one in expected.items() if where is None or where.passes(facts(one[0]))}
    assert engine.count(where) == len(passing)
    assert {one.key: one for one in engine.records(where)} == {key: one for key, (one, _) in passing.items()}
    if not passing:
        assert engine.nearest(vectors(2, seed=9), 3, where) == [[], []]
        return
    keys = list(passing)
    matrix = engine.vectors(keys)
    np.testing.assert_allclose(matrix, np.stack([vector for _, vector in passing.values()]), atol=1e-3)
    for query, found in zip(vectors(3, seed=9), engine.nearest(vectors(3, seed=9), 5, where), strict=True):
        order = np.argsort(-(matrix @ query), kind="stable")[:5]
        assert [one.record.key for one in ordered(query, found)] == [keys[row] for row in order]
        for one in found:
            np.testing.assert_array_equal(one.vector, matrix[keys.index(one.record.key)])


def facts(record: Record) -> dict[str, Any]:
    known = ("camera", "time", "modality", "track", "digest")
    return {**record.extra, **{name: getattr(record, name) for name in known}, "folder": record.key}


FILTERS = [
    Where((Condition("camera", "=", "a"),)),
    Where((Condition("camera", "!=", "a"),)),
    Where((Condition("camera", "in", ("a", "c")), Condition("modality", "=", 1))),
    Where((Condition("time", ">=", 1010.0), Condition("time", "<", 1030.0))),
    Where((Condition("folder", "=", "/photos/in"),)),
    Where((Condition("folder", "in", ("/photos/out/", "/photos/in/3.jpg")),)),
    Where((Condition("folder", "=", "/photos/i"),)),
    Where((Condition("size", "=", 7),)),
    Where((Condition("size", "=", "8"),)),
    Where((Condition("size", "<=", 9),)),
    Where((Condition("size", "<=", "20"),)),
    Where((Condition("size", "!=", 7),)),
    Where((Condition("size", "in", (7, "8", 11)),)),
    Where((Condition("half", ">", 3.5),)),
    Where((Condition("nothing", "!=", 1),)),
    Where((Condition("digest", "=", "7" * 64),)),
    Where((Condition("digest", "=", ""),)),
]
