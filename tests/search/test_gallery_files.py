"""One writer, many readers, and writers that are killed."""

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import HANG

from vireid_plugins.errors import ConfigError, DataError
from vireid_plugins.search import Gallery
from vireid_plugins.search import gallery_files as module
from vireid_plugins.search.gallery import Entry
from vireid_plugins.search.gallery_files import writing

WIDTH = 16
# Writes galleries in which a vector tells its image, until it is ended.
WRITER = """
import sys
import time
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from test_gallery_files import marked
count = 1
while True:
    count = count % 7 + 1
    marked(40 * count).save(Path(sys.argv[1]))
    print(count, flush=True)
"""


def marked(count: int) -> Gallery:
    """A gallery in which image n of m has a vector that only it has."""
    gallery = Gallery(WIDTH, {})
    angles = np.arange(count) / count
    rows = np.zeros((count, WIDTH), np.float32)
    rows[:, 0], rows[:, 1] = np.cos(angles), np.sin(angles)
    gallery.add([Entry(f"/{count}/{n}", 0, "") for n in range(count)], rows)
    return gallery


def require_whole(gallery: Gallery) -> None:
    expected = marked(len(gallery))
    assert [entry.path for entry in gallery.entries.values()] == [entry.path for entry in expected.entries.values()]
    np.testing.assert_array_equal(gallery.vectors, expected.vectors)


def writer(folder: Path) -> subprocess.Popen[str]:
    """Start a process that writes a gallery over and over; it prints a line after each."""
    paths = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]
    return subprocess.Popen([sys.executable, "-c", WRITER, str(folder), *paths], stdout=subprocess.PIPE, text=True)


def first_line(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline()


def test_load_beside_a_writer_is_whole(tmp_path: Path) -> None:
    with writer(tmp_path / "index") as process:
        first_line(process)
        end = time.monotonic() + HANG
        loads, versions = 0, set()
        while loads < 100 or len(versions) < 3:
            gallery = Gallery.load(tmp_path / "index")
            require_whole(gallery)
            versions.add(len(gallery))
            loads += 1
            assert time.monotonic() < end
        process.kill()


def calls_of(work: Callable[[], object], last: int = -1) -> int:
    """Return how many functions a piece of work calls; this process is killed at the call with the number `last`."""
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1
        if calls == last:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return calls


def test_save_that_is_killed_leaves_a_whole_gallery(tmp_path: Path) -> None:
    """At instants spread over everything that a save does."""
    folder = tmp_path / "index"
    marked(40).save(folder)
    bigger = marked(80)
    marked(40).save(tmp_path / "other")
    seen = set()
    # Some more, so that a few saves end.
    for last in np.linspace(1, 1.3 * calls_of(lambda: bigger.save(tmp_path / "other")), 30).astype(int):
        marked(40).save(folder)
        child = os.fork()
        if child == 0:
            calls_of(lambda: bigger.save(folder), int(last))
            os._exit(0)
        os.waitpid(child, 0)
        gallery = Gallery.load(folder)
        require_whole(gallery)
        seen.add(len(gallery))
    assert seen == {40, 80}
    marked(40).save(folder)
    assert len(list(folder.iterdir())) == 3


def test_save_on_a_full_disk_leaves_a_whole_gallery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "index"
    marked(40).save(folder)
    real = module.write_atomic
    for name in ("vectors.2.npy", "gallery.json"):

        def full(file: Path, name: str = name) -> Any:
            if file.name == name:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file))
            return real(file)

        monkeypatch.setattr(module, "write_atomic", full)
        with pytest.raises(ConfigError, match=f"{name}' cannot be written: No space left on device"):
            marked(80).save(folder)
        assert sorted(file.name for file in folder.iterdir()) == [".lock", "gallery.json", "vectors.npy"]
        require_whole(Gallery.load(folder))
    with pytest.raises(ConfigError, match="No space left"):
        marked(80).save(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_writing_by_two_processes_is_refused(tmp_path: Path) -> None:
    with writing(tmp_path / "index"):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                with writing(tmp_path / "index", patience=0):
                    pass
            except DataError as error:
                code = 0 if "is being written by another process" in str(error) else 1
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
        # The process itself may enter again.
        marked(40).save(tmp_path / "index")
    require_whole(Gallery.load(tmp_path / "index"))


def test_save_over_a_change_of_another_process_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    marked(40).save(folder)
    mine, other = Gallery.load(folder), Gallery.load(folder)
    other.remove(["/40/3"])
    other.save(folder)
    other.remove(["/40/4"])
    other.save(folder)
    mine.remove(["/40/5"])
    with pytest.raises(DataError, match="was written by another process after it was read here; read it again"):
        mine.save(folder)
    assert len(Gallery.load(folder)) == 38
    mine.save(tmp_path / "copy")
    assert len(Gallery.load(tmp_path / "copy")) == 39


def test_writing_removes_what_killed_writers_left(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    marked(40).save(folder)
    for name in ("vectors.7.npy", "gallery.7.faiss", "vectors.8.npy.partial", "gallery.json.partial"):
        (folder / name).touch()
    (folder / "notes.txt").write_text("mine")
    # Backups that somebody keeps.
    for name in ("index.partial", "index.former"):
        marked(40).save(tmp_path / name)
    marked(80).save(folder)
    assert sorted(file.name for file in folder.iterdir()) == [".lock", "gallery.json", "notes.txt", "vectors.2.npy"]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["index", "index.former", "index.partial"]
    require_whole(Gallery.load(tmp_path / "index.former"))


def test_writing_without_a_gallery_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), writing(tmp_path / "index"):
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())
    # A writer that was killed before its first gallery was whole.
    (tmp_path / "index").mkdir()
    (tmp_path / "index" / ".lock").touch()
    (tmp_path / "index" / "vectors.npy").touch()
    with pytest.raises(DataError, match="is not a gallery; create one"):
        Gallery.load(tmp_path / "index")
    marked(40).save(tmp_path / "index")
    require_whole(Gallery.load(tmp_path / "index"))


@pytest.mark.parametrize("name", ["vectors.npy", "gallery.partial.zip"])
def test_a_folder_with_a_file_of_somebody_else_is_refused_and_left(tmp_path: Path, name: str) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / name).write_bytes(b"of somebody else")
    with pytest.raises(DataError, match="exists and is not a gallery; refusing to overwrite it"):
        marked(40).save(tmp_path / "mine")
    assert [(file.name, file.read_bytes()) for file in (tmp_path / "mine").iterdir()] == [(name, b"of somebody else")]


def test_load_of_what_is_no_regular_file_is_one_error(tmp_path: Path) -> None:
    marked(40).save(tmp_path / "index")
    for name in ("vectors.npy", "gallery.json"):
        (tmp_path / "index" / name).unlink()
        os.mkfifo(tmp_path / "index" / name)
        with pytest.raises(DataError, match="it is a pipe, not a regular file"):
            Gallery.load(tmp_path / "index")


def test_load_of_a_folder_that_cannot_be_read_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(file: Path, *_: object) -> bytes:
        raise PermissionError(13, "Permission denied", str(file))

    monkeypatch.setattr(module, "read_bytes", denied)
    with pytest.raises(DataError, match="index' cannot be read: Permission denied"):
        Gallery.load(tmp_path / "index")
