import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vireid_plugins.detections.frames import open_frames
from vireid_plugins.errors import DataError


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 6), (len(name), 0, 0)).save(folder / name)


def seen(path: Path, first: int | None = None) -> list[tuple[int, str]]:
    return [(frame.number, frame.image) for frame in open_frames(path, first)]


def test_frames_of_a_folder_are_numbered_by_digits_of_their_names(tmp_path: Path) -> None:
    write(tmp_path, "img2.png", "img10.png", "img7.png")
    assert seen(tmp_path) == [(2, "img2.png"), (7, "img7.png"), (10, "img10.png")]


def test_frames_of_a_folder_with_a_first_number_are_counted(tmp_path: Path) -> None:
    write(tmp_path, "000005.jpg", "000009.jpg")
    assert seen(tmp_path) == [(5, "000005.jpg"), (9, "000009.jpg")]
    assert seen(tmp_path, 0) == [(0, "000005.jpg"), (1, "000009.jpg")]
    assert seen(tmp_path, 1) == [(1, "000005.jpg"), (2, "000009.jpg")]


@pytest.mark.parametrize(
    "names", [("a1.png", "b1.png"), ("1.jpg", "1.png"), ("a1.png", "b2.png"), ("x/1.png", "y/2.png")]
)
def test_frames_whose_names_tell_no_number_are_counted_from_1(tmp_path: Path, names: tuple[str, str]) -> None:
    write(tmp_path, *names)
    assert seen(tmp_path) == [(1, names[0]), (2, names[1])]


def test_frames_of_a_folder_pass_over_what_is_no_image(tmp_path: Path) -> None:
    write(tmp_path, "a.png", ".hidden.png", "sub/b.png")
    (tmp_path / "notes.txt").touch()
    assert seen(tmp_path) == [(1, "a.png"), (2, "sub/b.png")]


def test_frames_of_a_list_are_in_its_order(tmp_path: Path) -> None:
    write(tmp_path, "b.png", "a.png")
    (tmp_path / "list.txt").write_text(f"b.png\n\n./a.png\n{tmp_path}/b.png\n")
    assert seen(tmp_path / "list.txt") == [(1, "b.png"), (2, "a.png"), (3, f"{tmp_path}/b.png")]


def test_frames_of_an_image_are_one_upright_picture_without_a_time(tmp_path: Path) -> None:
    exif, pixels = Image.Exif(), np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    exif[0x0112] = 8
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    (frame,) = open_frames(tmp_path / "a.png", None)
    assert (frame.number, frame.time) == (1, None)
    np.testing.assert_array_equal(frame.picture().values, np.rot90(pixels, 1))


def test_frames_of_a_list_that_cannot_be_read_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes(b"\xff.png\n")
    with pytest.raises(DataError, match=r"latin\.txt' cannot be read: 'utf-8' codec can't decode byte 0xff"):
        open_frames(tmp_path / "latin.txt", None)
    os.mkfifo(tmp_path / "pipe.txt")
    with pytest.raises(DataError, match=r"pipe\.txt' cannot be read: it is a pipe, not a regular file"):
        open_frames(tmp_path / "pipe.txt", None)


def test_frames_of_a_folder_without_images_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="contains no image; images end in"):
        open_frames(tmp_path, None)
