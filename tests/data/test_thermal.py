"""Images of more than 8 bits: files as thermal cameras write them, in both byte orders."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import small_cfg
from PIL import Image
from thermal_files import read, tiff

from vireid_plugins.data.decode import SEARCH_FORMATS, read_image
from vireid_plugins.data.thermal import DEFAULT, Stretch, reporting, stretch_of
from vireid_plugins.errors import ConfigError, DataError

# 256 values of the full scale of 16 bits, as 16 x 16 pixels.
FULL = (np.arange(256) * 257).reshape(16, 16)
GRAY = np.arange(256, dtype=np.uint8).reshape(16, 16)
NARROW = 3000 + 2 * GRAY.astype(int)


@pytest.mark.parametrize("order", "<>")
def test_read_image_of_sixteen_bits_with_a_wide_range_is_divided(tmp_path: Path, order: str) -> None:
    np.testing.assert_array_equal(read(tiff(tmp_path / "x.tif", FULL, order + "u2")), GRAY)
    np.testing.assert_array_equal(read(tiff(tmp_path / "x.tif", FULL, order + "u2", 0)), 255 - GRAY)
    assert (read(tiff(tmp_path / "x.tif", np.full((16, 16), 40_000), order + "u2")) == 156).all()


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate"])
@pytest.mark.parametrize("order", "<>")
def test_read_image_of_compressed_tiff_is_the_same(tmp_path: Path, order: str, compression: str | None) -> None:
    Image.fromarray(FULL.astype(order + "u2")).save(tmp_path / "x.tif", compression=compression)
    np.testing.assert_array_equal(read(tmp_path / "x.tif"), GRAY)


def test_read_image_of_eight_bits_whose_smallest_value_is_white_is_turned(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read(tiff(tmp_path / "x.tif", GRAY, "<u1", 0)), 255 - GRAY)


@pytest.mark.parametrize("maximum", [1023, 4095, 16_383, 65_535])
@pytest.mark.parametrize("magic", ["P5", "P2"])
def test_read_image_of_pgm_has_the_scale_of_its_header(tmp_path: Path, magic: str, maximum: int) -> None:
    values = GRAY.astype(int) * maximum // 255
    data = values.astype(">u2").tobytes() if magic == "P5" else " ".join(map(str, values.ravel())).encode()
    (tmp_path / "x.pgm").write_bytes(f"{magic}\n16 16\n{maximum}\n".encode() + data)
    assert np.abs(read(tmp_path / "x.pgm").astype(int) - GRAY).max() <= 1


def test_read_image_of_a_narrow_range_is_stretched_by_its_percentiles(tmp_path: Path) -> None:
    Image.fromarray(NARROW.astype(np.uint16)).save(tmp_path / "x.png")
    low, high = np.percentile(NARROW, (1, 99))
    expected = np.rint(np.clip((NARROW - low) / (high - low), 0, 1) * 255)
    np.testing.assert_array_equal(read(tmp_path / "x.png"), expected)
    np.testing.assert_array_equal(read(tiff(tmp_path / "x.tif", NARROW, ">u2")), expected)
    whole = Stretch(percentiles=(0, 100))
    np.testing.assert_array_equal(read(tmp_path / "x.png", whole), GRAY)
    (tmp_path / "x.pgm").write_bytes(b"P5 16 16 16383\n" + NARROW.astype(">u2").tobytes())
    np.testing.assert_array_equal(read(tmp_path / "x.pgm", whole), GRAY)


@pytest.mark.parametrize("factor", [256, 257])
def test_read_image_of_eight_bits_saved_with_sixteen_is_not_stretched(tmp_path: Path, factor: int) -> None:
    dark = GRAY // 8
    Image.fromarray(dark.astype(np.uint16) * factor).save(tmp_path / "x.png")
    np.testing.assert_array_equal(read(tmp_path / "x.png"), dark)


KINDS = ["<i2", ">i2", "<i4", ">i4", "<u4", "<f4", ">f4"]


@pytest.mark.parametrize("kind", KINDS)
def test_read_image_of_values_without_a_scale_is_stretched(tmp_path: Path, kind: str) -> None:
    values = GRAY.astype(np.float64) + (2**31 - 100 if kind == "<u4" else -30.0)
    np.testing.assert_array_equal(read(tiff(tmp_path / "x.tif", values, kind), Stretch(percentiles=(0, 100))), GRAY)


@pytest.mark.parametrize("kind", ["<f4", ">f4"])
def test_read_image_of_temperatures_takes_the_range_of_the_keys(tmp_path: Path, kind: str) -> None:
    values = np.linspace(10, 50, 256).reshape(16, 16)
    found = read(tiff(tmp_path / "x.tif", values, kind), Stretch(20, 40))
    np.testing.assert_allclose(found, np.clip((values - 20) / 20, 0, 1) * 255, atol=0.51)


def test_read_image_takes_the_range_of_the_keys_for_all_of_more_than_eight_bits_alone(tmp_path: Path) -> None:
    Image.fromarray(FULL.astype(np.uint16)).save(tmp_path / "deep.png")
    Image.fromarray(GRAY).save(tmp_path / "gray.png")
    cold = Stretch(60_000, 70_000)
    assert read(tmp_path / "deep.png", cold).max() == round(255 * (65_535 - 60_000) / 10_000)
    np.testing.assert_array_equal(read(tmp_path / "gray.png", cold), GRAY)


@pytest.mark.parametrize(
    ("values", "kind", "message"),
    [
        (np.full((16, 16), 7), "<i4", "all its values are 7 and their scale is unknown; set INPUT.THERMAL.LOW"),
        (np.full((16, 16), np.nan), "<f4", "values that are not finite"),
        (GRAY, "<f8", "this kind of TIFF is not supported; save it as one channel of unsigned 16 bits"),
        (GRAY, ">u4", "this kind of TIFF is not supported"),
    ],
)
def test_read_image_of_values_that_cannot_be_converted_says_why(
    tmp_path: Path, values: np.ndarray, kind: str, message: str
) -> None:
    with pytest.raises(DataError, match=rf"x\.tif' cannot be read: .*{message}"):
        read(tiff(tmp_path / "x.tif", values, kind))


def test_read_image_with_keys_too_far_apart_says_so(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"x\.tif' cannot be read: its values from -1e\+308 to 1e\+308 are too far apart"
    ):
        read(tiff(tmp_path / "x.tif", GRAY, "<f4"), Stretch(-1e308, 1e308))


def test_read_image_of_sixteen_bits_follows_the_way_the_camera_was_held(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(FULL.astype(np.uint16)).save(tmp_path / "x.png", exif=exif)
    np.testing.assert_array_equal(read(tmp_path / "x.png"), GRAY[::-1, ::-1])


def test_reporting_logs_one_warning_with_the_first_name_the_number_and_the_range(
    tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    for name in "ab":
        Image.fromarray(NARROW.astype(np.uint16)).save(tmp_path / f"{name}.png")
    Image.fromarray(GRAY).save(tmp_path / "gray.png")
    with reporting(), reporting():
        for name in ("gray", "a", "b", "a"):
            read(tmp_path / f"{name}.png")
        read(tmp_path / "a.png", Stretch(0, 4000))
    warnings = {id(record): record.getMessage() for record in log.records if record.levelname == "WARNING"}
    (message,) = warnings.values()
    assert message.startswith(f"2 images, the first '{tmp_path}/a.png': a narrow range of values, 3005.1 to 3504.9 of ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["INPUT.THERMAL.LOW", "5.0"], "INPUT.THERMAL.LOW: must be below INPUT.THERMAL.HIGH 0"),
        (["INPUT.THERMAL.LOW", "5.0", "INPUT.THERMAL.HIGH", "5.0"], "INPUT.THERMAL.LOW"),
        (["INPUT.THERMAL.PERCENTILES", "[1]"], "INPUT.THERMAL.PERCENTILES: needs two ascending numbers"),
        (["INPUT.THERMAL.PERCENTILES", "[99, 1]"], "INPUT.THERMAL.PERCENTILES"),
        (["INPUT.THERMAL.PERCENTILES", "[1, 101]"], "INPUT.THERMAL.PERCENTILES"),
    ],
)
def test_stretch_of_wrong_keys_names_them(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        stretch_of(small_cfg("SYSU/agw.yml", *words))


def test_stretch_of_the_defaults_is_the_default() -> None:
    cfg: Any = small_cfg("SYSU/agw.yml")
    assert stretch_of(cfg) == DEFAULT


@pytest.mark.parametrize(("low", "high"), [(3100, 3400), (0, 65_535)])
def test_read_image_of_a_narrow_range_in_color_channels_is_refused(tmp_path: Path, low: int, high: int) -> None:
    gray = np.linspace(low, high, 64).reshape(8, 8, 1)
    file = tmp_path / "x.pgm"
    file.write_bytes(b"P6\n8 8\n65535\n" + np.repeat(gray, 3, axis=2).astype(">u2").tobytes())
    if high == 65_535:
        assert read_image(str(file), (8, 8), formats=SEARCH_FORMATS).max() == 255
        return
    with pytest.raises(
        DataError, match=r"x\.pgm' cannot be read: its 16-bit channels are equal, .* uses 12 to 13; save"
    ):
        read_image(str(file), (8, 8), formats=SEARCH_FORMATS)
