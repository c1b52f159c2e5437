"""Images of every kind that a folder may hold: read as a person would see them, or refused by name."""

import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from helpers import ROOT
from no_files import KINDS, make
from PIL import Image, ImageFile

from vireid_plugins.data import decode
from vireid_plugins.data.decode import (
    DATASET_FORMATS,
    MAX_PIXELS,
    SEARCH_FORMATS,
    SEARCH_SUFFIXES,
    read_image,
)
from vireid_plugins.errors import DataError

# Left half red, right half blue, 8 x 4.
TWO = np.zeros((8, 4, 3), np.uint8)
TWO[:, :2, 0] = TWO[:, 2:, 2] = 255


def saved(folder: Path, image: Image.Image, name: str, **options: object) -> str:
    image.save(folder / name, **options)
    return str(folder / name)


def test_read_image_with_a_palette_or_transparency_keeps_its_colours(tmp_path: Path) -> None:
    whole = Image.fromarray(TWO)
    alpha = whole.copy()
    alpha.putalpha(0)
    for image in (whole, whole.quantize(8), alpha):
        np.testing.assert_array_equal(read_image(saved(tmp_path, image, "x.png"), (8, 4)), TWO)


@pytest.mark.parametrize("adobe", [False, True])
def test_read_image_in_cmyk_keeps_its_colours(tmp_path: Path, adobe: bool) -> None:
    inks = Image.fromarray(TWO).convert("CMYK")
    file = saved(tmp_path, inks, "x.tif") if adobe else saved(tmp_path, inks, "x.jpg", quality=100)
    found = read_image(file, (8, 4), formats=SEARCH_FORMATS).astype(int)
    assert np.abs(found - TWO).max() <= 40
    assert found[:, 0].mean(0).argmax() == 0
    assert found[:, 3].mean(0).argmax() == 2


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_read_image_of_sixteen_bits_scales_and_does_not_cut_off(tmp_path: Path, suffix: str) -> None:
    grey = np.array([[0, 256, 32768, 65535]] * 4, np.uint16)
    found = read_image(saved(tmp_path, Image.fromarray(grey), f"x.{suffix}"), (4, 4), formats=SEARCH_FORMATS)
    np.testing.assert_array_equal(found[0, :, 0], [0, 1, 128, 255])
    assert (found == found[..., :1]).all()


@pytest.mark.parametrize(("orientation", "turned"), [(3, np.rot90(TWO, 2)), (6, np.rot90(TWO, -1)), (8, np.rot90(TWO))])
def test_read_image_follows_the_way_the_camera_was_held(tmp_path: Path, orientation: int, turned: np.ndarray) -> None:
    image = Image.fromarray(TWO)
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = saved(tmp_path, image, "x.png", exif=exif)
    np.testing.assert_array_equal(read_image(file, turned.shape[:2]), turned)


def bomb(file: Path, side: int) -> str:
    """A PNG of a few bytes that says it has side * side pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    file.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    )
    return str(file)


# Pillow warns of the second one besides.
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [8_001, 12_000, 100_000])
def test_read_image_refuses_a_bomb_before_decoding_it(tmp_path: Path, side: int) -> None:
    assert side**2 > MAX_PIXELS
    with pytest.raises(DataError, match=r"image '.*bomb\.png' cannot be read: .*pixels"):
        read_image(bomb(tmp_path / "bomb.png", side), (8, 4))


@pytest.mark.parametrize("suffix", ["png", "webp", "tif"])
def test_read_image_with_several_frames_is_refused(tmp_path: Path, suffix: str) -> None:
    frames = [Image.fromarray(np.full((8, 8, 3), value, np.uint8)) for value in (0, 90, 200)]
    file = saved(tmp_path, frames[0], f"x.{suffix}", save_all=True, append_images=frames[1:])
    with pytest.raises(DataError, match=rf"x\.{suffix}' cannot be read: it has 3 frames"):
        read_image(file, (8, 4), formats=SEARCH_FORMATS)


def test_read_image_of_a_photograph_with_a_preview_takes_the_photograph(tmp_path: Path) -> None:
    frames = [Image.fromarray(np.full((8, 8, 3), value, np.uint8)) for value in (120, 10)]
    file = saved(tmp_path, frames[0], "x.jpg", format="MPO", save_all=True, append_images=frames[1:])
    assert abs(int(read_image(file, (8, 8)).mean()) - 120) < 3


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "tif", "webp"])
@pytest.mark.parametrize("part", [0.0, 0.02, 0.5, 0.9])
def test_read_image_of_a_torn_or_empty_file_names_it(tmp_path: Path, suffix: str, part: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    file = Path(saved(tmp_path, Image.fromarray(noise), f"x.{suffix}"))
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(DataError, match=rf"image '.*x\.{suffix}' cannot be read"):
        read_image(str(file), (8, 4), formats=SEARCH_FORMATS)


def test_read_image_of_a_text_with_the_name_of_an_image_names_it(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_text("not an image")
    with pytest.raises(DataError, match=r"x\.jpg' cannot be read: cannot identify image file"):
        read_image(str(tmp_path / "x.jpg"), (8, 4))


@pytest.fixture
def never() -> Iterator[bytes]:
    """The first bytes of files of a format that is registered with Pillow and must not be asked to open one."""

    def opened(*_: object) -> NoReturn:
        raise AssertionError("another format was asked to open the file")

    Image.register_open("NEVER", opened, lambda prefix: opened())
    yield b"%!NEVER"
    del Image.OPEN["NEVER"]
    Image.ID.remove("NEVER")


@pytest.mark.parametrize("name", ["x.jpg", "x.png", "x.never"])
@pytest.mark.parametrize("formats", [DATASET_FORMATS, SEARCH_FORMATS])
def test_read_image_asks_no_other_format_whatever_the_name(
    tmp_path: Path, never: bytes, name: str, formats: tuple[str, ...]
) -> None:
    (tmp_path / name).write_bytes(never + bytes(100))
    with pytest.raises(DataError, match=rf"{name}' cannot be read: cannot identify image file; it must be JPEG, PNG"):
        read_image(str(tmp_path / name), (8, 4), formats=formats)


@pytest.mark.parametrize("suffix", ["tif", "webp", "ppm", "gif"])
def test_read_image_of_a_data_set_takes_no_format_of_folders_to_search(tmp_path: Path, suffix: str) -> None:
    file = saved(tmp_path, Image.fromarray(TWO), f"x.{suffix}")
    Path(file).rename(tmp_path / "x.jpg")
    with pytest.raises(DataError, match="it must be JPEG, PNG or BMP"):
        read_image(str(tmp_path / "x.jpg"), (8, 4))


@pytest.mark.parametrize("suffix", [suffix for suffix in SEARCH_SUFFIXES if suffix != ".pgm"])
def test_read_image_of_every_suffix_to_search_opens(tmp_path: Path, suffix: str) -> None:
    found = read_image(saved(tmp_path, Image.fromarray(TWO), f"x{suffix}"), (8, 4), formats=SEARCH_FORMATS)
    assert np.abs(found.astype(int) - TWO).mean() < 40


@pytest.mark.parametrize("kind", KINDS)
def test_read_image_of_what_is_no_file_says_so_at_once(tmp_path: Path, kind: str) -> None:
    file = make(tmp_path / "x.jpg", kind)
    with pytest.raises(DataError, match=rf"x\.jpg' cannot be read: it is a {kind}, not a "):
        read_image(str(file), (8, 4))


def test_read_image_of_a_file_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "MAX_BYTES", 50)
    with pytest.raises(DataError, match="it is larger than 50 bytes"):
        read_image(saved(tmp_path, Image.fromarray(TWO), "x.bmp"), (8, 4))


def test_read_image_with_tiles_larger_than_the_limit_is_refused(tmp_path: Path) -> None:
    # Gray of 4 x 4 in one tile.
    tags = {256: 4, 257: 4, 258: 8, 259: 1, 262: 1, 277: 1, 322: 16_000, 323: 16_000, 324: 8, 325: 16}
    content = b"II*\0" + struct.pack("<I", 24) + bytes(16) + struct.pack("<H", len(tags))
    for tag, value in tags.items():
        content += struct.pack("<HHIHH", tag, 3, 1, value, 0)
    (tmp_path / "x.tif").write_bytes(content + bytes(4))
    with pytest.raises(DataError, match=f"at most {MAX_PIXELS:,} pixels"):
        read_image(str(tmp_path / "x.tif"), (8, 4), formats=SEARCH_FORMATS)


def test_read_image_of_a_file_that_a_plugin_fails_on_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> NoReturn:
        raise KeyError

    monkeypatch.setattr(ImageFile.ImageFile, "load", fails)
    with pytest.raises(DataError, match=r"x\.png' cannot be read: KeyError"):
        read_image(saved(tmp_path, Image.fromarray(TWO), "x.png"), (8, 4))


def test_nothing_but_decode_opens_images() -> None:
    """Everything else asks `read_image`, which tries few formats and opens only regular files."""
    opens = re.compile(r"Image\.open|imread|imdecode|decode_(jpeg|png)|import (cv2|imageio|skimage)|torchvision\.io")
    found: list[str] = []
    for file in (ROOT / "vireid_plugins").rglob("*.py"):
        found += [file.name for line in file.read_text().splitlines() if opens.search(line)]
    assert found == ["decode.py"]
