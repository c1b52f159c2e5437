import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import HANG, ROOT

from vireid_plugins.errors import ConfigError, DataError
from vireid_plugins.io.files import (
    LineFile,
    json_text,
    make_folder,
    remove_stale,
    write_atomic,
    write_by_name,
    write_bytes,
    write_folder,
    write_json,
    write_or_keep,
)

linux = pytest.mark.skipif(sys.platform != "linux", reason="/dev/full and locks of Linux")


def fail_halfway(file: Path) -> None:
    with write_atomic(file) as stream:
        stream.write(b"half")
        raise OSError(28, "No space left on device")


def test_write_atomic_leaves_the_former_file_and_nothing_else_after_an_error(tmp_path: Path) -> None:
    file = tmp_path / "a" / "x.json"
    write_bytes(file, b"whole")
    with pytest.raises(ConfigError, match=r"x\.json' cannot be written: No space left on device"):
        fail_halfway(file)
    assert file.read_bytes() == b"whole"
    assert list(file.parent.iterdir()) == [file]


def test_write_atomic_hands_on_errors_that_are_about_something_else(tmp_path: Path) -> None:
    def reading_fails() -> None:
        try:
            Path("nowhere").read_bytes()
        except OSError:
            raise DataError("'nowhere' is missing") from None

    with pytest.raises(DataError, match="nowhere"), write_atomic(tmp_path / "x"):
        reading_fails()
    assert list(tmp_path.iterdir()) == []


def test_write_atomic_through_a_link_keeps_the_link_and_the_permissions(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    target, link, second = tmp_path / "far" / "x", tmp_path / "link", tmp_path / "second"
    target.write_bytes(b"old")
    target.chmod(0o640)
    link.symlink_to(target)
    second.symlink_to("link")
    for number, file in enumerate((link, second)):
        write_bytes(file, f"new {number}".encode())
        assert file.is_symlink()
        assert target.read_text() == f"new {number}"
        assert target.stat().st_mode & 0o777 == 0o640
    (tmp_path / "dangling").symlink_to(tmp_path / "far" / "y")
    write_bytes(tmp_path / "dangling", b"new")
    assert (tmp_path / "far" / "y").read_bytes() == b"new"


@pytest.mark.parametrize(
    ("name", "reason"),
    [("file/x", "Not a directory"), ("file/a/b/x", "Not a directory"), ("folder", "Is a directory")],
)
def test_write_atomic_where_no_file_can_be_says_why(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "file").write_text("content")
    (tmp_path / "folder").mkdir()
    for write in (write_bytes, lambda file, content: write_by_name(file).__enter__()):
        with pytest.raises(ConfigError, match=rf"{name}' cannot be written: {reason}"):
            write(tmp_path / name, b"x")
    assert (tmp_path / "file").read_text() == "content"
    assert list((tmp_path / "folder").iterdir()) == []


def test_write_atomic_with_the_longest_name_that_a_disk_allows(tmp_path: Path) -> None:
    file = tmp_path / ("é" * 126 + "xy")
    write_bytes(file, b"1")
    write_bytes(file, b"2")
    assert list(tmp_path.iterdir()) == [file]
    with pytest.raises(ConfigError, match="cannot be written: File name too long"):
        write_bytes(tmp_path / ("x" * 256), b"")


@linux
def test_write_atomic_to_a_device_or_a_pipe_writes_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'/dev/full' cannot be written: No space left on device"):
        write_bytes(Path("/dev/full"), b"x")
    reading, writing = os.pipe()
    write_bytes(Path(f"/dev/fd/{writing}"), b"through")
    assert os.read(reading, 10) == b"through"
    os.close(reading), os.close(writing)
    os.mkfifo(tmp_path / "nobody_reads")
    with pytest.raises(ConfigError, match="nobody_reads' cannot be written: No such device"):
        write_bytes(tmp_path / "nobody_reads", b"x")


def test_write_folder_replaces_a_folder_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / "tree"
    for content in ("a", "b"):
        with write_folder(folder) as fresh:
            (fresh / content).write_text(content)

    def fail_inside() -> None:
        with write_folder(folder) as fresh:
            (fresh / "e").write_text("half")
            (fresh / "c" / "d").write_text("e")

    with pytest.raises(ConfigError, match=r"tree/c/d' cannot be written: No such file"):
        fail_inside()
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["tree", "tree/b"]


def test_write_folder_whose_writer_was_killed_between_its_renames_finds_the_former(tmp_path: Path) -> None:
    former = tmp_path / "tree.0123abcd.partial" / "former"
    former.mkdir(parents=True)
    (former / "a").write_text("a")
    with pytest.raises(ConfigError), write_folder(tmp_path / "tree"):
        raise OSError(28, "No space left on device")
    assert (tmp_path / "tree" / "a").read_text() == "a"


# What a writer does until it is killed; its own name for the file is printed before.
WRITERS = {
    "file": "with files.write_atomic(path) as stream:\n    stream.write(b'half'); stream.flush(); ready()",
    "name": "with files.write_by_name(path) as written:\n    written.write_bytes(b'half'); ready()",
    "folder": "with files.write_folder(path) as fresh:\n    (fresh / 'a').write_bytes(b'half'); ready()",
}


@linux
@pytest.mark.parametrize("kind", WRITERS)
def test_remove_stale_removes_what_the_killed_left_and_nothing_of_the_living(tmp_path: Path, kind: str) -> None:
    script = (
        # Without the package's __init__, which takes seconds.
        "import pathlib, sys\nfrom vireid_command import plain\nfiles = plain('vireid_plugins.io.files')\n"
        "def ready():\n    print(flush=True); input()\n"
        f"path = pathlib.Path(sys.argv[1])\n{WRITERS[kind]}"
    )
    file = tmp_path / "x.json"
    writer = subprocess.Popen(
        [sys.executable, "-c", script, str(file)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert writer.stdout is not None
    writer.stdout.readline()
    (mine,) = tmp_path.iterdir()
    assert remove_stale(tmp_path) == []
    write_bytes(file, b"another writer's")
    assert mine.exists()
    writer.send_signal(signal.SIGKILL)
    writer.communicate(timeout=HANG)
    assert mine.exists()
    write_bytes(tmp_path / "y.json", b"of another name")
    assert mine.exists()
    write_bytes(file, b"the next start")
    assert {path.name for path in tmp_path.iterdir()} == {"x.json", "y.json"}


def test_remove_stale_takes_names_of_earlier_releases_and_no_links(tmp_path: Path) -> None:
    (tmp_path / "model_final.pth.partial").write_bytes(b"torn")
    (tmp_path / "model_final.pth").write_bytes(b"whole")
    (tmp_path / "link.0123abcd.partial").symlink_to("model_final.pth")
    # Downloads of other programs.
    (tmp_path / "data.zip.partial").write_bytes(b"half")
    (tmp_path / "movie.partial").mkdir()
    assert [path.name for path in remove_stale(tmp_path)] == ["model_final.pth.partial"]
    assert {path.name for path in tmp_path.iterdir()} == {
        *("model_final.pth", "link.0123abcd.partial", "data.zip.partial", "movie.partial")
    }
    write_bytes(tmp_path / "data.zip", b"whole")
    assert (tmp_path / "data.zip.partial").read_bytes() == b"half"


def test_json_text_is_what_every_parser_reads(tmp_path: Path) -> None:
    value = {"a": [float("nan"), (1, -float("inf"))], "b": {"c": float("inf"), "d": 0.5}, "e": "NaN"}
    expected = {"a": [None, [1, None]], "b": {"c": None, "d": 0.5}, "e": "NaN"}
    assert json.loads(json_text(value), parse_constant=pytest.fail) == expected
    write_json(tmp_path / "x.json", value)
    assert json.loads((tmp_path / "x.json").read_text(), parse_constant=pytest.fail) == expected


def test_write_or_keep_says_where_a_result_is_that_could_not_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "file").write_text("content")
    with pytest.raises(
        ConfigError, match=r"file/x' cannot be written: Not a directory; the result is kept as"
    ) as error:
        write_or_keep(tmp_path / "file" / "x", lambda target: write_bytes(target, b"hours of work"))
    kept = Path(str(error.value).rpartition("kept as '")[2].rstrip("'"))
    assert kept.read_bytes() == b"hours of work"
    with pytest.raises(ConfigError, match=r"file/x' cannot be written: Not a directory$"):
        write_or_keep(tmp_path / "file" / "x", lambda target: write_bytes(tmp_path / "file" / "x", b""))
    assert len(list(tmp_path.iterdir())) == 2


@linux
def test_line_file_leaves_no_torn_line(tmp_path: Path) -> None:
    lines = LineFile(tmp_path / "log.txt")
    lines.write("first\n")
    # Everything but the first half of the second line fails, as on a full disk.
    writer = os.write
    calls = iter([lambda handle, data: writer(handle, data[:3]), lambda *_: (_ for _ in ()).throw(OSError(28, "full"))])
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "write", lambda handle, data: next(calls)(handle, data))
        with pytest.raises(ConfigError, match=r"log\.txt' cannot be written: full"):
            lines.write("second\n")
    lines.write("third\n")
    lines.close()
    assert (tmp_path / "log.txt").read_text() == "first\nthird\n"


def test_make_folder_below_a_file_names_the_key(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "a"):
        with pytest.raises(
            ConfigError, match=r"KEY: '.*' cannot be written: Not a directory; choose a writable folder"
        ):
            make_folder(folder, "KEY")


def test_line_file_whose_descriptor_is_lost_is_one_error(tmp_path: Path) -> None:
    lines = LineFile(tmp_path / "log.txt")
    lines.write("first\n")
    os.close(lines.fileno())
    with pytest.raises(ConfigError, match=r"log\.txt"):
        lines.write("second\n")
    assert (tmp_path / "log.txt").read_text() == "first\n"
