from pathlib import Path

import pytest

from vireid_plugins.data.datasets.lists import read_ids, read_images, read_labelled_paths
from vireid_plugins.errors import DataError

ROWS = [("V/1/a.bmp", 0), ("V/1/b c.bmp", 1)]


@pytest.mark.parametrize(
    "text",
    [
        "V/1/a.bmp 0\nV/1/b c.bmp 1\n",
        "\ufeffV/1/a.bmp 0\r\nV/1/b c.bmp 1\r\n",
        "V/1/a.bmp\t0\n\n  V/1/b c.bmp  \t 1  ",
        "V\\1\\a.bmp 0\rV/1/b c.bmp 1",
    ],
)
def test_lists_of_every_editor_are_read(tmp_path: Path, text: str) -> None:
    file = tmp_path / "x.txt"
    file.write_bytes(text.encode())
    assert read_labelled_paths(file) == read_images(file) == ROWS


def test_read_ids_skips_a_byte_order_mark_and_shows_what_cannot_be_seen(tmp_path: Path) -> None:
    file = tmp_path / "ids.txt"
    file.write_bytes("\ufeff1, 2\t,3\r\n".encode())
    assert read_ids(file) == [1, 2, 3]
    file.write_bytes("1,\u200b2".encode())
    with pytest.raises(DataError, match=r"got '1,\\u200b2'"):
        read_ids(file)


def test_lists_that_repeat_themselves_are_one_error(tmp_path: Path) -> None:
    file = tmp_path / "x.txt"
    file.write_text("3,1,2,1,2,2")
    with pytest.raises(DataError, match=r"x\.txt' names identity 1, 2 more than once"):
        read_ids(file)
    for again in ("a/1.bmp 0", "./a/1.bmp 1", "a/1.jpg 0"):
        file.write_text(f"a/1.bmp 0\n\na/2.bmp 0\n{again}\n")
        with pytest.raises(DataError, match=r"x\.txt' line 4 repeats line 1"):
            read_images(file)
