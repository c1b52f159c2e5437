"""What a gallery's folder may be, and one process that indexes at a time."""

import errno
from pathlib import Path

import pytest
from apart import apart
from engine_cases import WIDTH, record, vectors
from filelock import FileLock

from vireid_plugins.errors import DataError
from vireid_plugins.search import Gallery
from vireid_plugins.search.gallery_folder import is_gallery, require_room, writing


def make(folder: Path) -> None:
    with writing(folder), Gallery.create(folder, WIDTH, {}) as gallery:
        gallery.add([record(1)], vectors(1))


def write_at_once(folder: str) -> None:
    with writing(Path(folder), patience=0):
        pass


def test_writing_by_two_processes_is_refused(tmp_path: Path) -> None:
    with writing(tmp_path / "index"):
        ended = apart(write_at_once, tmp_path / "index")
        assert ended.code == 1
        assert "is being written by another process" in ended.err
        # The process itself may enter again.
        make(tmp_path / "index")
    assert is_gallery(tmp_path / "index")


def test_writing_where_the_lock_cannot_be_taken_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some file systems have no locks."""
    make(tmp_path / "index")

    def no_locks(*_: object, **__: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(FileLock, "acquire", no_locks)
    with (
        pytest.raises(DataError, match=r"index/\.lock' cannot be locked: No locks available$"),
        writing(tmp_path / "index"),
    ):
        raise AssertionError("it is entered")


def test_writing_without_a_gallery_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), writing(tmp_path / "index"):
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())
    # A process that was killed before its first gallery was whole.
    (tmp_path / "index").mkdir()
    for name in (".lock", "segment.1.npy", "gallery.db-journal"):
        (tmp_path / "index" / name).touch()
    with pytest.raises(DataError, match="is not a gallery; create one"):
        Gallery.load(tmp_path / "index")
    make(tmp_path / "index")
    with Gallery.load(tmp_path / "index") as gallery:
        assert len(gallery) == 1


@pytest.mark.parametrize("name", ["1.jpg", "segment.1.npy", "gallery.partial.zip"])
def test_require_room_in_a_folder_with_a_file_of_somebody_else_refuses_it(tmp_path: Path, name: str) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / name).write_bytes(b"of somebody else")
    with pytest.raises(DataError, match="exists and is not a gallery; refusing to overwrite it"):
        make(tmp_path / "mine")
    assert [(file.name, file.read_bytes()) for file in (tmp_path / "mine").iterdir()] == [(name, b"of somebody else")]


def test_require_room_of_a_file_or_a_broken_link_refuses_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    with pytest.raises(DataError, match="exists and is not a gallery"):
        require_room(tmp_path / "file")
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(DataError, match="is a link to a folder that does not exist"):
        require_room(tmp_path / "link")
    (tmp_path / "empty").mkdir()
    require_room(tmp_path / "empty")


def test_writing_leaves_files_of_others_in_a_gallery(tmp_path: Path) -> None:
    make(tmp_path / "index")
    (tmp_path / "index" / "notes.txt").write_text("mine")
    (tmp_path / "index" / "segment.77.npy").touch()
    with writing(tmp_path / "index"), Gallery.load(tmp_path / "index") as gallery:
        gallery.add([record(2)], vectors(1))
    assert (tmp_path / "index" / "notes.txt").read_text() == "mine"
    assert not (tmp_path / "index" / "segment.77.npy").exists()
