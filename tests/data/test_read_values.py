"""Images at their own size and depth."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vireid_plugins.data.decode import read_values
from vireid_plugins.errors import DataError


def test_read_values_of_colors_and_gray_keeps_the_pixels(tmp_path: Path) -> None:
    colors = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    for name, pixels in (("c.png", colors), ("g.png", colors[..., 0])):
        Image.fromarray(pixels).save(tmp_path / name)
        values, full = read_values(str(tmp_path / name))
        np.testing.assert_array_equal(values, pixels)
        assert (values.dtype, full) == (np.uint8, 255)


def test_read_values_of_other_modes_is_rgb(tmp_path: Path) -> None:
    for mode in ("LA", "P", "RGBA", "1"):
        Image.new(mode, (4, 3), 1).save(tmp_path / "a.png")
        assert read_values(str(tmp_path / "a.png"))[0].shape == (3, 4, 3)


@pytest.mark.parametrize("order", ["<", ">"])
def test_read_values_of_16_bits_keeps_counts_in_both_byte_orders(tmp_path: Path, order: str) -> None:
    counts = (np.arange(12).reshape(3, 4) * 1000 + 7).astype(order + "u2")
    Image.frombytes("I;16B" if order == ">" else "I;16", (4, 3), counts.tobytes()).save(tmp_path / "a.tif")
    values, full = read_values(str(tmp_path / "a.tif"))
    np.testing.assert_array_equal(values, counts)
    assert full == 65535


def test_read_values_of_a_pgm_keeps_counts_and_their_maximum(tmp_path: Path) -> None:
    counts = np.array([[0, 16383], [9000, 5]], ">u2")
    (tmp_path / "a.pgm").write_bytes(b"P5\n2 2\n16383\n" + counts.tobytes())
    values, full = read_values(str(tmp_path / "a.pgm"))
    np.testing.assert_array_equal(values, counts)
    assert full == 16383


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_read_values_is_upright(tmp_path: Path, kind: type) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    pixels = np.arange(6, dtype=kind).reshape(2, 3)
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_values(str(tmp_path / "a.png"))[0], np.rot90(pixels, -1))


def test_read_values_of_a_torn_file_names_it(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG torn")
    with pytest.raises(DataError, match=r"a\.png' cannot be read"):
        read_values(str(tmp_path / "a.png"))
