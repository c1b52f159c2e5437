"""Marks of right and wrong hits, and that nothing else is kept."""

import hashlib
from pathlib import Path

import pytest
from filelock import FileLock

from vireid_plugins.errors import ConfigError, DataError
from vireid_plugins.search import marks
from vireid_plugins.search.marks import Mark, forget, kept_queries, mark, name_of_query, read_marks

NAME = name_of_query(b"picture", ".png")


def test_marks_are_a_table_of_pairs_in_their_order(tmp_path: Path) -> None:
    assert read_marks(tmp_path) == []
    mark(tmp_path, "/q.png", "/a, b.png", True)
    mark(tmp_path, "/q.png", "/c.png", False)
    assert (tmp_path / "marks.csv").read_text() == 'query,file,same\n/q.png,"/a, b.png",yes\n/q.png,/c.png,no\n'
    assert read_marks(tmp_path) == [Mark("/q.png", "/a, b.png", True), Mark("/q.png", "/c.png", False)]


def test_mark_of_a_pair_replaces_what_was_said_of_it(tmp_path: Path) -> None:
    for same in (True, False):
        mark(tmp_path, "/q.png", "/a.png", same)
        mark(tmp_path, "/q.png", "/b.png", True)
    assert read_marks(tmp_path) == [Mark("/q.png", "/a.png", False), Mark("/q.png", "/b.png", True)]
    mark(tmp_path, "/q.png", "/a.png", None)
    assert read_marks(tmp_path) == [Mark("/q.png", "/b.png", True)]


def test_query_is_kept_for_as_long_as_a_pair_names_it(tmp_path: Path) -> None:
    digest = hashlib.sha256(b"picture").hexdigest()
    assert f"marked/{digest}.png" == NAME
    mark(tmp_path, NAME, "/a.png", True, b"picture")
    mark(tmp_path, NAME, "/b.png", False, b"picture")
    (tmp_path / "marked/notes.txt").write_text("of somebody else")
    assert (tmp_path / NAME).read_bytes() == b"picture"
    assert kept_queries(tmp_path, digest) == [NAME]
    mark(tmp_path, NAME, "/a.png", None)
    assert (tmp_path / NAME).exists()
    mark(tmp_path, NAME, "/b.png", None)
    assert [file.name for file in (tmp_path / "marked").iterdir()] == ["notes.txt"]
    assert kept_queries(tmp_path, digest) == []


def test_forget_removes_every_pair_of_an_image_and_its_queries(tmp_path: Path) -> None:
    mark(tmp_path, NAME, "/a.png", True, b"picture")
    mark(tmp_path, "/a.png", "/b.png", True)
    mark(tmp_path, "/c.png", "/b.png", False)
    assert forget(tmp_path, ["/a.png"]) == 2
    assert read_marks(tmp_path) == [Mark("/c.png", "/b.png", False)]
    assert not (tmp_path / NAME).exists()
    assert forget(tmp_path / "no gallery", ["/a.png"]) == 0
    assert not (tmp_path / "no gallery").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b,c\n", r"marks\.csv:1': the columns must be query,file,same; got a,b,c"),
        ("query,file,same\n/q,/f,yes\n/q,/f,maybe\n", r"marks\.csv:3': needs a query, a file, and yes or no"),
        ("query,file,same\n,/f,yes\n", r"marks\.csv:2': needs a query"),
        ("query,file,same\n/q,/f\n", r"marks\.csv:2': it has 2 values"),
    ],
)
def test_damaged_marks_are_named_and_stay(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "marks.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        mark(tmp_path, "/q", "/f", True)
    assert (tmp_path / "marks.csv").read_text() == text


def test_marks_that_cannot_be_read_name_their_file(tmp_path: Path) -> None:
    (tmp_path / "marks.csv").write_bytes(b"query,file,same\n/\xff,/f,yes\n")
    with pytest.raises(DataError, match=r"marks\.csv' is no text in UTF-8: invalid start byte at byte 17"):
        read_marks(tmp_path)
    (tmp_path / "marks.csv").unlink()
    (tmp_path / "marks.csv").mkdir()
    with pytest.raises(DataError, match=r"marks\.csv' cannot be read: it is a folder, not a file"):
        read_marks(tmp_path)


def test_mark_while_another_process_marks_says_to_try_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marks, "PATIENCE", 0.01)
    with (
        FileLock(tmp_path / marks.LOCK),
        pytest.raises(ConfigError, match=r"marks\.csv' is being written by another process; try again"),
    ):
        mark(tmp_path, "/q", "/f", True)
    assert read_marks(tmp_path) == []


def test_mark_of_a_path_that_is_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no text in UTF-8 cannot be marked"):
        mark(tmp_path, "/q.png", "/\udcff.png", True)
    assert not (tmp_path / "marks.csv").exists()
