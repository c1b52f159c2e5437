"""The engine of a folder: what is on the disk, also after a writer was killed or a file was damaged."""

import os
import re
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from apart import apart
from engine_cases import WIDTH, assert_finds, record, vectors

from vireid_plugins.errors import ConfigError, DataError
from vireid_plugins.io.regular import sha256_of
from vireid_plugins.search.engines import FolderEngine, vector_files
from vireid_plugins.search.engines import folder as folder_module
from vireid_plugins.search.engines.rows import Rows


def filled(folder: Path, count: int = 20) -> dict[str, Any]:
    with FolderEngine(folder, WIDTH) as engine:
        engine.upsert([record(n) for n in range(count)], vectors(count))
    return {record(n).key: (record(n), vector) for n, vector in enumerate(vectors(count))}


def segments(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_upsert_of_a_few_writes_a_few(tmp_path: Path) -> None:
    filled(tmp_path, 1000)
    before = {file: file.stat().st_mtime_ns for file in tmp_path.glob("segment.*")}
    with FolderEngine(tmp_path) as engine:
        engine.upsert([record(n) for n in range(1000, 1010)], vectors(10))
        assert engine.count() == 1010
    assert {file: file.stat().st_mtime_ns for file in before} == before
    (new,) = set(tmp_path.glob("segment.*")) - set(before)
    assert new.stat().st_size == 128 + 10 * WIDTH * 4


def test_segments_stay_few_when_single_images_are_added(tmp_path: Path) -> None:
    with FolderEngine(tmp_path, WIDTH) as engine:
        for number in range(64):
            engine.upsert([record(number)], vectors(1, seed=number))
        assert_finds(engine, {record(n).key: (record(n), vectors(1, n)[0]) for n in range(64)})
    assert len(list(tmp_path.glob("segment.*"))) <= 7


def test_segments_are_no_larger_than_the_largest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_module, "LARGEST", 8)
    monkeypatch.setattr(vector_files, "BLOCK", 3)
    expected = filled(tmp_path, 30)
    assert len(list(tmp_path.glob("segment.*"))) == 4
    with FolderEngine(tmp_path) as engine:
        assert_finds(engine, expected)
        for number in (3, 9, 10, 29):
            del expected[record(number).key]
        engine.remove([record(number).key for number in (3, 9, 10, 29)])
        assert_finds(engine, expected)


def test_removed_vectors_are_gone_from_the_disk(tmp_path: Path) -> None:
    filled(tmp_path)
    gone, stays = vectors(20)[3].tobytes(), vectors(20)[4].tobytes()
    key = os.fsencode(record(3, key="/photos/the person.jpg").key)
    with FolderEngine(tmp_path) as engine:
        engine.upsert([record(3, key="/photos/the person.jpg")], vectors(20)[3:4])
        assert any(key in file.read_bytes() for file in tmp_path.iterdir())
        assert engine.remove([record(3).key, "/photos/the person.jpg"]) == 2
    contents = [file.read_bytes() for file in tmp_path.iterdir()]
    assert any(stays in content for content in contents)
    assert not any(gone in content or key in content for content in contents)


def die_at(point: str, folder: str) -> None:
    """Change a gallery in a process that ends without any cleaning."""
    where: dict[str, tuple[Any, str]] = {
        "a segment is written": (vector_files, "write"),
        "a record is deleted": (Rows, "delete"),
        "a record is inserted": (Rows, "insert"),
        "a segment is dropped": (Rows, "drop_segment"),
        "files are removed": (folder_module.vector_files, "remove_others"),
    }
    owner, name = where[point]
    whole, calls = getattr(owner, name), []

    def dying(*args: Any, **named: Any) -> Any:
        calls.append(name)
        # Files are tidied once before anything is changed.
        if name == "remove_others" and len(calls) == 1:
            return whole(*args, **named)
        if name != "remove_others":
            whole(*args, **named)
        os._exit(9)

    setattr(owner, name, dying)
    FolderEngine(Path(folder)).upsert([record(1, stamp="new"), record(50)], vectors(2, seed=5))


@pytest.mark.parametrize(
    ("point", "changed"),
    [
        ("a segment is written", False),
        ("a record is deleted", False),
        ("a record is inserted", False),
        ("a segment is dropped", False),
        ("files are removed", True),
    ],
)
def test_upsert_that_is_killed_leaves_all_or_nothing(tmp_path: Path, point: str, changed: bool) -> None:
    expected = filled(tmp_path)
    ended = apart(die_at, point, tmp_path)
    assert ended.code == 9, ended.err
    if changed:
        del expected[record(1).key]
        new = [record(1, stamp="new"), record(50)]
        expected |= {one.key: (one, vector) for one, vector in zip(new, vectors(2, seed=5), strict=True)}
    with FolderEngine(tmp_path) as engine:
        assert_finds(engine, expected)
        engine.upsert([record(60)], vectors(1, seed=6))
        assert_finds(engine, {**expected, record(60).key: (record(60), vectors(1, seed=6)[0])})
        held = {f"segment.{one.segment}.npy" for one in engine._rows.segments()}
    assert set(segments(tmp_path)) == {"gallery.db", *held}


def test_upsert_that_fails_leaves_the_gallery_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = filled(tmp_path)
    before = segments(tmp_path)

    def full(*args: Any) -> None:
        raise ConfigError("no room")

    with FolderEngine(tmp_path) as engine:
        monkeypatch.setattr(Rows, "add_segment", full)
        with pytest.raises(ConfigError, match="no room"):
            engine.upsert([record(1), record(30)], vectors(2, seed=3))
        assert_finds(engine, expected)
    assert segments(tmp_path) == before


def test_engine_of_a_damaged_file_says_which(tmp_path: Path) -> None:
    filled(tmp_path)
    (file,) = tmp_path.glob("segment.*")
    content = bytearray(file.read_bytes())
    content[200] ^= 1
    file.write_bytes(content)
    with FolderEngine(tmp_path) as engine, pytest.raises(DataError, match=rf"is damaged \('{file.name}' has another"):
        engine.nearest(vectors(1), 1)
    file.unlink()
    with FolderEngine(tmp_path) as engine, pytest.raises(DataError, match=r"is damaged .*No such file"):
        engine.nearest(vectors(1), 1)


def test_engine_of_a_damaged_database_says_so(tmp_path: Path) -> None:
    filled(tmp_path)
    (tmp_path / "gallery.db").write_bytes(b"no database, but long enough to be read as one" * 100)
    with pytest.raises(DataError, match=r"is damaged \(gallery.db: file is not a database"):
        FolderEngine(tmp_path)


def change(folder: Path, statement: str, *values: object) -> None:
    """Change the database behind the engine's back."""
    with closing(sqlite3.connect(folder / "gallery.db")) as db, db:
        db.execute(statement, values)


def nearest_of(engine: FolderEngine) -> object:
    return engine.nearest(vectors(1), 20)


@pytest.mark.parametrize(
    ("statement", "values", "use", "said"),
    [
        ("DROP TABLE rows", (), nearest_of, "gallery.db: no such table: rows"),
        ("UPDATE rows SET extra = '{'", (), FolderEngine.known, "gallery.db: malformed JSON"),
        ("UPDATE rows SET modality = 2", (), FolderEngine.known, "gallery.db: an image has the modality 2)"),
        (
            "UPDATE rows SET modality = 'x', camera = 'a', time = 7.0 WHERE number = 3",
            (),
            FolderEngine.records,
            "gallery.db: an image has the modality 'x' and the facts ('', '2222222222222222222222222222222222222222222"
            "222222222222222222222', 'a', '', '{\"size\": \"2\", \"half\": 1.0}'), 7.0",
        ),
        ("UPDATE rows SET time = 'noon'", (), nearest_of, "), 'noon')"),
        (
            "UPDATE segments SET numbers = ?",
            (b"",),
            nearest_of,
            "the numbers of its segments do not ascend",
        ),
        (
            "UPDATE segments SET numbers = ?",
            (np.arange(20, 0, -1).tobytes(),),
            nearest_of,
            "the numbers of its segments do not ascend",
        ),
        ("DELETE FROM rows WHERE number > 18", (), nearest_of, "gallery.db has 18 images, but 20 vectors"),
        ("UPDATE rows SET number = 99 WHERE number = 3", (), nearest_of, "gallery.db lacks an image that has a vector"),
    ],
)
def test_engine_of_a_database_that_nobody_wrote_says_what_is_wrong(
    tmp_path: Path, statement: str, values: tuple[object, ...], use: Callable[[FolderEngine], object], said: str
) -> None:
    filled(tmp_path)
    change(tmp_path, statement, *values)
    with (
        FolderEngine(tmp_path) as engine,
        pytest.raises(DataError, match=rf"is damaged \(.*{re.escape(said)}.*; delete it and index the images again"),
    ):
        use(engine)


@pytest.mark.parametrize(
    ("given", "said"), [(vectors(19), r"float32 of shape \(19, 16\)"), (vectors(20).astype(float), "float64 of shape")]
)
def test_engine_of_vectors_that_do_not_fit_the_database_says_which(tmp_path: Path, given: Any, said: str) -> None:
    filled(tmp_path)
    (file,) = tmp_path.glob("segment.*")
    np.save(file, given)
    change(tmp_path, "UPDATE segments SET sha256 = ?", sha256_of(file))
    with FolderEngine(tmp_path) as engine, pytest.raises(DataError, match=rf"is damaged \('{file.name}' holds {said}"):
        engine.nearest(vectors(1), 1)


def test_engine_of_a_folder_without_gallery_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is not a gallery; create one: vireid search index"):
        FolderEngine(tmp_path)
    filled(tmp_path / "index")
    with pytest.raises(DataError, match="has vectors of 16 numbers, not of 8"):
        FolderEngine(tmp_path / "index", 8)


def test_engine_of_a_later_format_is_refused(tmp_path: Path) -> None:
    filled(tmp_path)
    with sqlite3.connect(tmp_path / "gallery.db") as db:
        db.execute("UPDATE facts SET value = '2' WHERE name = 'format'")
    db.close()
    with pytest.raises(DataError, match="has format 2, which a later release wrote; this one knows 1"):
        FolderEngine(tmp_path)


def test_engine_that_another_process_writes_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vireid_plugins.search.engines.rows.PATIENCE", 0.01)
    expected = filled(tmp_path)
    with FolderEngine(tmp_path) as writer, FolderEngine(tmp_path) as other:
        with writer._rows.transaction(write=True):
            assert_finds(other, expected)
            with pytest.raises(DataError, match="is being written by another process"):
                other.remove(["x"])
        other.remove(["x"])


def test_readers_beside_a_writer_see_whole_states(tmp_path: Path) -> None:
    """Every state has all images of one round and none of another."""
    filled(tmp_path, 10)
    seen = set()
    with ThreadPoolExecutor(1) as waiting, FolderEngine(tmp_path) as engine:
        writer = waiting.submit(apart, _rounds, tmp_path)
        while not writer.done() or len(seen) < 2:
            (found,) = engine.nearest(vectors(1), 10)
            (stamp,) = {one.record.stamp for one in found}
            assert len(found) == 10
            shown = np.sort(np.concatenate([one.vector for one in found]))
            assert np.array_equal(shown, np.sort(vectors(10, int(stamp or 0)).ravel()))
            seen.add(stamp)
            if writer.done():
                seen.add("end")
    assert writer.result().code == 0, writer.result().err


def _rounds(folder: str) -> None:
    with FolderEngine(Path(folder)) as engine:
        for number in range(1, 30):
            engine.upsert([record(n, stamp=str(number)) for n in range(10)], vectors(10, seed=number))
