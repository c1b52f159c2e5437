"""Every format, number of bits and order of bytes of thermal images, against a naive computation in floats."""

import math
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from thermal_files import planes, png, read, tiff

from vireid_plugins.data.decode import SEARCH_FORMATS, read_image, read_values
from vireid_plugins.data.thermal import DEFAULT, Stretch, collecting, warn_of_range
from vireid_plugins.errors import DataError

SIDE = 16
FILES = ["png", "pgm", "pgm text", "tif <", "tif >", "tif < white is 0", "tif > white is 0"]


def scene(bits: int, seed: int = 0) -> np.ndarray:
    """Return counts of a sensor of some bits: a background, a warm person, and noise, in a narrow part of the scale."""
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 0.1, (SIDE, SIDE))
    top, left = rng.integers(1, 6, 2)
    values[top : top + 9, left : left + 5] += rng.uniform(0.5, 1, (9, 5))
    values -= values.min()
    return np.rint(2 ** (bits - 1) + values / values.max() * 2 ** (bits - 5)).astype(int)


def write(folder: Path, kind: str, values: np.ndarray, bits: int) -> Path:
    """Write counts in one of FILES, so that they mean the same in all of them; of PGM the header has the bits."""
    if kind == "png":
        return png(folder / "x.png", values)
    if kind.startswith("pgm"):
        text = kind == "pgm text"
        data = " ".join(map(str, values.ravel())).encode() if text else values.astype(">u2").tobytes()
        (folder / "x.pgm").write_bytes(f"{'P2' if text else 'P5'}\n16 16\n{2**bits - 1}\n".encode() + data)
        return folder / "x.pgm"
    white_is_zero = kind.endswith("0")
    return tiff(
        folder / "x.tif", 65_535 - values if white_is_zero else values, kind[4] + "u2", 0 if white_is_zero else 1
    )


def naive(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return pixels 0..255, one after another."""
    found = [round(min(max((float(value) - low) / (high - low), 0.0), 1.0) * 255) for value in values.ravel()]
    return np.array(found, np.uint8).reshape(values.shape)


def percentile(values: np.ndarray, share: float) -> float:
    """Return a percentile, interpolated between the two nearest values."""
    ascending = sorted(map(float, values.ravel()))
    place = share / 100 * (len(ascending) - 1)
    below = math.floor(place)
    return ascending[below] + (place - below) * (ascending[min(below + 1, len(ascending) - 1)] - ascending[below])


@pytest.mark.parametrize("bits", [12, 14, 16])
@pytest.mark.parametrize("kind", FILES)
def test_read_image_of_every_kind_of_file_equals_the_naive_computation(tmp_path: Path, kind: str, bits: int) -> None:
    values = scene(bits)
    file = write(tmp_path, kind, values, bits)
    np.testing.assert_array_equal(read(file), naive(values, percentile(values, 1), percentile(values, 99)))
    low, high = 2.0 ** (bits - 1), 2.0 ** (bits - 1) + 2 ** (bits - 6)
    np.testing.assert_array_equal(read(file, Stretch(low, high)), naive(values, low, high))
    counts, full = read_values(str(file))
    np.testing.assert_array_equal(counts, values)
    assert full == (2**bits - 1 if kind.startswith("pgm") else 65_535)


def test_read_image_of_twelve_packed_bits_has_their_scale(tmp_path: Path) -> None:
    values = np.linspace(1, 4094, SIDE * SIDE).astype(int)
    data = bytearray()
    for one, two in values.reshape(-1, 2).tolist():
        data += bytes([one >> 4, (one & 15) << 4 | two >> 8, two & 255])
    tags = {256: SIDE, 257: SIDE, 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: SIDE, 279: len(data)}
    content = b"II*\0" + struct.pack("<I", 8 + len(data)) + bytes(data) + struct.pack("<H", len(tags))
    content += b"".join(struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in tags.items())
    (tmp_path / "x.tif").write_bytes(content + bytes(4))
    np.testing.assert_array_equal(read(tmp_path / "x.tif").ravel(), values // 16)


@pytest.mark.parametrize("hidden", ["nothing", "a border of zeros", "an overlay of white", "a saturated pixel"])
@pytest.mark.parametrize("bits", [12, 14, 16])
def test_read_image_of_two_people_never_gives_the_same_picture(tmp_path: Path, bits: int, hidden: str) -> None:
    pictures = []
    for seed in range(6):
        values = scene(bits, seed)
        if hidden == "a border of zeros":
            values[:, -3:] = 0
        elif hidden == "an overlay of white":
            values[:2, :8] = 65_535
        elif hidden == "a saturated pixel":
            values[3, 3] = 65_535
        pictures.append(read(png(tmp_path / "x.png", values)).astype(int))
    for place, one in enumerate(pictures):
        assert len(np.unique(one)) > 50
        for other in pictures[:place]:
            assert np.abs(one - other).mean() > 10


@pytest.mark.parametrize("limits", [(0, 100), (60_000, 65_000), (0, 1e9)])
def test_read_image_that_limits_would_make_blank_is_refused(tmp_path: Path, limits: tuple[float, float]) -> None:
    file = png(tmp_path / "x.png", 3000 + np.arange(256).reshape(SIDE, SIDE))
    with pytest.raises(DataError, match=r"values, 3000 to 3255, would all become \d+: INPUT.THERMAL.LOW .* do not fit"):
        read(file, Stretch(*limits))


def test_read_image_that_is_flat_is_divided_and_one_warning_says_so(
    tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    with collecting() as ranges:
        for stretch in (DEFAULT, Stretch(30_000, 50_000)):
            found = read(png(tmp_path / "x.png", np.full((SIDE, SIDE), 40_000)), stretch)
            assert (found == (128 if stretch.fixed else 156)).all()
        read(png(tmp_path / "y.png", scene(14)))
    warn_of_range(list(ranges), ranges)
    messages = list(dict.fromkeys(record.getMessage() for record in log.records))
    assert len(messages) == 2
    assert messages[0].startswith(f"1 image, the first '{tmp_path}/x.png': all values are equal, here 40000, so that ")
    assert messages[1].startswith(f"1 image, the first '{tmp_path}/y.png': a narrow range")


@pytest.mark.parametrize(("kind", "text"), [("<u2", "colors"), ("u1", '{"shape": [3, 16, 16]}')])
def test_read_image_of_a_stack_of_three_frames_is_refused(tmp_path: Path, kind: str, text: str) -> None:
    frames = np.stack([scene(8, seed) for seed in range(3)]).astype(kind)
    file = planes(tmp_path / "x.tif", frames, text)
    assert Image.open(file).mode == "RGB"
    with pytest.raises(DataError, match="its channels are stored one after another, as a stack of frames is"):
        read_image(str(file), (SIDE, SIDE), formats=SEARCH_FORMATS)


def test_read_image_of_colors_of_eight_bits_plane_by_plane_is_read(tmp_path: Path) -> None:
    frames = np.stack([scene(8, seed) for seed in range(3)]).astype("u1")
    file = planes(tmp_path / "x.tif", frames, "colors")
    np.testing.assert_array_equal(
        read_image(str(file), (SIDE, SIDE), formats=SEARCH_FORMATS), frames.transpose(1, 2, 0)
    )
