"""What only Milvus does: a server or a database in the folder, limits of a server, ends of processes."""

import fcntl
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from engine_cases import FILTERS, WIDTH, assert_finds, milvus_server, record, vectors
from helpers import ROOT, python

from vireid_plugins.errors import DataError, InstallError
from vireid_plugins.search.engines import Condition, Where, milvus, milvus_place
from vireid_plugins.search.engines.kind import opened
from vireid_plugins.search.engines.milvus import MilvusEngine
from vireid_plugins.search.engines.milvus_place import NOTE, TOKEN

pytest.importorskip("milvus_lite")
pytestmark = pytest.mark.slow
# Adds seven records at a time until it dies in the middle of a write, without any cleaning.
DYING = f"""
import os, sys
sys.path.insert(0, {str(ROOT / "tests")!r})
from pathlib import Path
from engine_cases import record, vectors
from milvus_lite.storage.wal import WAL
from vireid_plugins.search.engines.milvus import MilvusEngine

folder, cut = Path(sys.argv[1]), int(sys.argv[2])
real, calls = WAL.write_insert, []

def dying(log, batch):
    before = log.size_bytes
    real(log, batch)
    calls.append(batch)
    if len(calls) == 4:
        if cut:
            os.truncate(log.data_path, (before + log.size_bytes) // 2)
        os._exit(9)

WAL.write_insert = dying
engine = MilvusEngine(folder)
for n in range(9):
    engine.upsert([record(7 * n + k) for k in range(7)], vectors(7, seed=n))
    if n == 1:
        engine.flush()
"""


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[MilvusEngine]:
    with MilvusEngine.create(tmp_path / "index", WIDTH) as engine:
        yield engine


@pytest.mark.parametrize(("cut", "done"), [(0, 4), (1, 3)], ids=["after a write", "in a write"])
def test_killed_writer_leaves_whole_upserts(tmp_path: Path, cut: int, done: int) -> None:
    MilvusEngine.create(tmp_path / "index", WIDTH).close()
    (tmp_path / "dying.py").write_text(DYING)
    assert python(str(tmp_path / "dying.py"), str(tmp_path / "index"), str(cut)).returncode == 9
    with MilvusEngine(tmp_path / "index") as engine:
        rows = np.concatenate([vectors(7, seed=n) for n in range(done)])
        expected = {record(n).key: (record(n), vector) for n, vector in enumerate(rows)}
        assert [one.key for one in engine.records()] == list(expected)
        assert_finds(engine, expected)
        assert_finds(engine, expected, FILTERS[0])


def test_second_process_is_told_that_an_embedded_database_is_for_one(tmp_path: Path) -> None:
    with MilvusEngine.create(tmp_path / "index", WIDTH) as engine:
        assert engine.single_process
        # In this process any number; the last to be closed closes it.
        with MilvusEngine(tmp_path / "index") as other:
            other.upsert([record(1)], vectors(1))
        assert engine.count() == 1
    with (tmp_path / "index" / milvus_place.EMBEDDED / "LOCK").open("r+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(DataError, match=r"is open in another process, and an embedded .* is for one at a time"):
            opened(tmp_path / "index")
    opened(tmp_path / "index").close()


def test_missing_server_is_one_error_within_seconds(tmp_path: Path) -> None:
    since = time.monotonic()
    with pytest.raises(DataError, match=rf"http://127.0.0.1:1 of '.*' cannot be used: .*Is it running\?.*{TOKEN}"):
        MilvusEngine.create(tmp_path / "index", WIDTH, "http://127.0.0.1:1")
    assert time.monotonic() - since < 4 * milvus_place.CONNECT
    assert not (tmp_path / "index" / NOTE).exists()


def test_server_that_has_gone_and_a_lost_collection_are_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(milvus, "ANSWER", 1.0)
    with milvus_server(tmp_path / "server.db") as uri:
        engine = MilvusEngine.create(tmp_path / "index", WIDTH, uri)
        engine.upsert([record(1)], vectors(1))
        engine.flush()
    with pytest.raises(DataError, match=r"Milvus, for the gallery '.*index': "):
        engine.count()
    engine.close()
    with milvus_server(tmp_path / "other.db") as uri:
        note = json.loads((tmp_path / "index" / NOTE).read_text())
        (tmp_path / "index" / NOTE).write_text(json.dumps({**note, "uri": uri}))
        with pytest.raises(DataError, match=rf"is damaged \({uri} has no collection 'vireid_"):
            opened(tmp_path / "index")


def test_token_comes_from_the_environment_and_is_not_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN, "root:Sesame")
    with milvus_server(tmp_path / "server.db") as uri:
        import pymilvus

        given = []
        real = pymilvus.MilvusClient
        monkeypatch.setattr(pymilvus, "MilvusClient", lambda *a, **k: given.append(k) or real(*a, **k))
        MilvusEngine.create(tmp_path / "index", WIDTH, uri).close()
        assert {one["token"] for one in given} == {"root:Sesame"}
    assert not any(b"Sesame" in file.read_bytes() for file in (tmp_path / "index").iterdir())


def test_more_candidates_than_a_server_returns_are_found(engine: MilvusEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = {record(n).key: (record(n), vector) for n, vector in enumerate(vectors(60))}
    engine.upsert([one for one, _ in expected.values()], vectors(60))
    for name, value in (("MOST", 4), ("PAGE", 7), ("IDS", 9), ("QUERIES", 2)):
        monkeypatch.setattr(milvus, name, value)
    for where in (None, Where((Condition("camera", "=", "a"),))):
        assert_finds(engine, expected, where)
    assert [one.key for one in engine.records()] == list(expected)
    assert engine.remove([*expected][:25]) == 25
    assert [one.key for one in engine.records()] == [*expected][25:]


def test_rekey_keeps_everything_else(engine: MilvusEngine) -> None:
    engine.upsert([record(n) for n in range(5)], vectors(5))
    engine.rekey({record(n).key: f"/moved/{n}.jpg" for n in (1, 3)})
    now = [record(n, key=f"/moved/{n}.jpg" if n in (1, 3) else record(n).key) for n in range(5)]
    assert engine.records() == now
    assert_finds(engine, {one.key: (one, vector) for one, vector in zip(now, vectors(5), strict=True)})


def test_record_that_changes_its_camera_is_one_record(tmp_path: Path) -> None:
    """The camera is the partition key of a server."""
    with milvus_server(tmp_path / "server.db") as uri, MilvusEngine.create(tmp_path / "index", WIDTH, uri) as engine:
        for n, camera in enumerate("abcdefgh"):
            engine.upsert([record(1, camera=camera)], vectors(1, seed=n))
            engine.flush()
        assert_finds(engine, {record(1).key: (record(1, camera="h"), vectors(1, seed=7)[0])})
        assert engine.count(Where((Condition("camera", "=", "a"),))) == 0


def test_texts_that_milvus_cannot_keep_are_errors_and_change_nothing(engine: MilvusEngine) -> None:
    for facts, message in (
        ({"camera": "x" * 70_000}, "its camera has more than 65535 bytes"),
        ({"extra": {"a": "\ud800"}}, "its extra .* is no text"),
    ):
        with pytest.raises(DataError, match=message):
            engine.upsert([record(1), record(2, **facts)], vectors(2))
    assert engine.count() == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", rf"is damaged \({NOTE}: "),
        ('{"format": 1}', rf"is damaged \({NOTE}: .*collection"),
        ('{"format": 9}', "has format 9, which a later release wrote"),
        ('{"format": 1, "collection": "c", "width": "16"}', "a value has the wrong type"),
        ('{"format": 1, "collection": "c", "width": 16, "facts": {"a": 1}}', "a value has the wrong type"),
    ],
)
def test_damaged_note_is_an_error(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / NOTE).write_text(content)
    with pytest.raises(DataError, match=message):
        opened(tmp_path)


def test_missing_packages_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymilvus", None)
    with pytest.raises(InstallError, match="pip install pymilvus milvus-lite"):
        MilvusEngine.create(tmp_path, WIDTH)
