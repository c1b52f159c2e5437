"""Read image files into arrays. Nothing else in this package opens an image.

Pillow knows dozens of formats, and the content of a file decides which one reads it, not its name. Some of them run
other programs. Only the formats named here are ever tried, and only regular files are opened.
"""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from fastreid.config import CfgNode
from PIL import Image, ImageOps, TiffImagePlugin, UnidentifiedImageError

from vireid_plugins.data.orientation import UPRIGHT, upright
from vireid_plugins.data.thermal import DEFAULT, FULL, Stretch, to_eight_bits
from vireid_plugins.errors import DataError, require_name
from vireid_plugins.io.regular import open_regular

INTERPOLATIONS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
# Pillow's names of the formats of images in data sets, and in folders of one's own. JPEG includes MPO, whose first
# frame is a JPEG; PPM is the family of PGM.
DATASET_FORMATS = ("JPEG", "PNG", "BMP")
SEARCH_FORMATS = (*DATASET_FORMATS, "TIFF", "PPM", "WEBP")
# Suffixes of images, in lower case.
DATASET_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp")
SEARCH_SUFFIXES = (*DATASET_SUFFIXES, ".tif", ".tiff", ".pgm", ".webp")
# 8,000 x 8,000: far more than any person crop, and 200 MB when decoded.
MAX_PIXELS = 64_000_000
# What that many pixels take without compression, with 64 bits each.
MAX_BYTES = 8 * MAX_PIXELS
# Tags of TIFF: what its smallest value shows, the sizes of a tile, the type of its values.
_PHOTOMETRIC, _TILE_WIDTH, _TILE_LENGTH, _SAMPLE_FORMAT = 262, 322, 323, 339
_WHITE_IS_ZERO, _UNSIGNED = 0, 1
# Bits of a value, a text about the image, and whether channels are stored by pixel or one after another.
_BITS, _TEXT, _PLANES = 258, 270, 284
_ONE_AFTER_ANOTHER = 2
# What tifffile writes into a file about an array of three frames.
_THREE_FRAMES = '{"shape": [3, '
# Pillow knows gray of 16 bits whose smallest value is white only with little-endian values.
TiffImagePlugin.OPEN_INFO.setdefault((b"MM", _WHITE_IS_ZERO, (1,), 1, (16,), ()), ("I;16B", "I;16B"))
# Tag of EXIF.
_ORIENTATION = 0x0112


def interpolation_of_tests(cfg: CfgNode) -> str:
    """Return how test images are resized, a key of `INTERPOLATIONS`.

    Raises:
        ConfigError: `INPUT.INTERPOLATION_TEST`, or `INPUT.INTERPOLATION` if that is empty, is none of them.
    """
    key = "INTERPOLATION_TEST" if cfg.INPUT.INTERPOLATION_TEST else "INTERPOLATION"
    name: str = cfg.INPUT[key]
    require_name(f"INPUT.{key}", name, INTERPOLATIONS)
    return name


def read_image(
    path: str,
    size: Sequence[int],
    interpolation: str = "bilinear",
    stretch: Stretch = DEFAULT,
    formats: Sequence[str] = DATASET_FORMATS,
) -> npt.NDArray[np.uint8]:
    """Decode and resize an image, and convert it to RGB; a single channel is repeated three times.

    Gray values of more than 8 bits are converted as `vireid_plugins.data.thermal` describes. The EXIF orientation is
    applied. Transparency is ignored.

    Args:
        path: the file.
        size: height and width.
        interpolation: a key of `INTERPOLATIONS`.
        stretch: how values of more than 8 bits become 0..255.
        formats: Pillow's names of the formats that the file may have, whatever its name.

    Returns:
        (H, W, 3) uint8.

    Raises:
        DataError: the file cannot be read or decoded, is no regular file, has another format, is far too large for a
            person crop, has several frames, or its values cannot be converted; the message names it.
    """
    with _opened(path, formats) as image:
        return resized(image, size, interpolation, stretch, path)


def read_values(path: str, formats: Sequence[str] = SEARCH_FORMATS) -> tuple[npt.NDArray[Any], int | None]:
    """Decode an image at its own size and depth, upright by its EXIF orientation; transparency is ignored.

    Args:
        path: the file.
        formats: Pillow's names of the formats that the file may have, whatever its name.

    Returns:
        The values, (H, W, 3) uint8 of colors, (H, W) of one channel: uint8, or its counts if it has more bits. And the
        value that is white, or None if it is unknown.

    Raises:
        DataError: see `read_image`.
    """
    with _opened(path, formats) as image:
        _require_one_picture(image)
        deep = _is_deep_color(image)
        orientation = image.getexif().get(_ORIENTATION, UPRIGHT)
        if image.mode in ("I", "F") or image.mode.startswith("I;16"):
            values, full = _values(image)
            return upright(values, orientation), full
        values = np.asarray(image if image.mode == "L" else image.convert("RGB"))
        if deep:
            _require_scale(values)
        return upright(values, orientation), 255


@contextmanager
def _opened(path: str, formats: Sequence[str]) -> Iterator[Image.Image]:
    """Open an image that may be a person crop; whatever fails inside the `with` block is a `DataError`."""
    try:
        stream = open_regular(path)
    except OSError as error:
        raise DataError(f"image '{path}' cannot be read: {error.strerror or error}") from None
    with stream, _identified(stream, f"image '{path}'", formats, MAX_PIXELS) as image:
        yield image


@contextmanager
def opened_bytes(
    data: bytes, pixels: int = MAX_PIXELS, formats: Sequence[str] = SEARCH_FORMATS
) -> Iterator[Image.Image]:
    """Open the content of an image file in a `with` block, for `resized`; nothing is decoded yet.

    Args:
        data: the content of the file.
        pixels: largest number of pixels.
        formats: Pillow's names of the formats that it may have.

    Raises:
        DataError: see `read_image`; also whatever fails inside the `with` block.
    """
    with _identified(io.BytesIO(data), "the image", formats, pixels) as image:
        yield image


@contextmanager
def _identified(stream: BinaryIO, name: str, formats: Sequence[str], pixels: int) -> Iterator[Image.Image]:
    try:
        if stream.seek(0, 2) > MAX_BYTES:
            raise ValueError(f"it is larger than {MAX_BYTES:,} bytes")
        with Image.open(stream, formats=tuple(formats)) as image:
            _require_crop(image, pixels)
            yield image
    except UnidentifiedImageError:
        raise DataError(f"{name} cannot be read: {_unidentified(stream, formats)}") from None
    except OSError as error:
        raise DataError(f"{name} cannot be read: {error.strerror or error}") from None
    except Image.DecompressionBombError:
        # Of so many, Pillow does not tell the number.
        raise DataError(f"{name} cannot be read: it has too many pixels; at most {pixels:,} are allowed") from None
    except Exception as error:
        # What Pillow's plug-ins raise for damaged files is of every kind.
        raise DataError(f"{name} cannot be read: {str(error) or type(error).__name__}") from None


def _unidentified(stream: BinaryIO, formats: Sequence[str]) -> str:
    """Return why Pillow did not identify a file."""
    stream.seek(0)
    start = stream.read(3)
    if "TIFF" in formats and start in (b"II*", b"MM\0", b"II+"):
        return "this kind of TIFF is not supported; save it as one channel of unsigned 16 bits, or of 32-bit floats"
    names = [name.replace("PPM", "PGM") for name in formats]
    return f"cannot identify image file; it must be {', '.join(names[:-1])} or {names[-1]}"


def _require_crop(image: Image.Image, pixels: int) -> None:
    """Raise a `ValueError` if an opened image cannot be a person crop of so many pixels; nothing is decoded."""
    width, height = image.size
    tags: Any = getattr(image, "tag_v2", {})
    # The decoder of TIFF holds a whole tile, which may be larger than the image.
    if max(width * height, tags.get(_TILE_WIDTH, 0) * tags.get(_TILE_LENGTH, 0)) > pixels:
        raise ValueError(f"it has {width} x {height} pixels; at most {pixels:,} pixels are allowed")
    # The second frame of an MPO file is a preview.
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":
        raise ValueError(f"it has {frames} frames; save a single frame as an image")


def _require_one_picture(image: Image.Image) -> None:
    """Raise a `ValueError` for a TIFF of which Pillow would make one picture where there are frames, or noise."""
    tags: Any = getattr(image, "tag_v2", {})
    if tags.get(_PLANES) != _ONE_AFTER_ANOTHER or len(tags.get(_BITS, ())) < 2:
        return
    # Pillow takes the bytes of channels of 16 bits for pixels of 8.
    if set(tags[_BITS]) != {8} or str(tags.get(_TEXT, "")).startswith(_THREE_FRAMES):
        raise ValueError(
            "its channels are stored one after another, as a stack of frames is; save a single frame, or colors of 8 "
            "bits pixel by pixel"
        )


def resized(
    image: Image.Image, size: Sequence[int], interpolation: str = "bilinear", stretch: Stretch = DEFAULT, name: str = ""
) -> npt.NDArray[np.uint8]:
    """Return a Pillow image as an array (H, W, 3) of uint8; see `read_image`.

    Args:
        image: the image.
        size: height and width.
        interpolation: a key of `INTERPOLATIONS`.
        stretch: how values of more than 8 bits become 0..255.
        name: of its file, for the warning on images that were stretched.

    Raises:
        ValueError: its values cannot be converted.
    """
    _require_one_picture(image)
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        turn = Image.Exif()
        turn[_ORIENTATION] = image.getexif().get(_ORIENTATION, 1)
        image = Image.fromarray(to_eight_bits(*_values(image), stretch, name))
        image.info["exif"] = turn.tobytes()
    deep = _is_deep_color(image)
    # PNG may have its EXIF data after the pixels. Pillow's functions copy images that they leave as they are.
    image.load()
    if image.getexif().get(_ORIENTATION, 1) != 1:
        image = ImageOps.exif_transpose(image)
    if image.mode != "RGB":
        image = image.convert("RGB")
    if deep:
        _require_scale(np.asarray(image))
    return np.asarray(image.resize((size[1], size[0]), INTERPOLATIONS[interpolation]))


def _is_deep_color(image: Image.Image) -> bool:
    """Return whether an image that is not decoded yet holds several channels of 16 bits, which Pillow cuts to 8."""
    for tile in getattr(image, "tile", []):
        settings = tile[3] if isinstance(tile[3], tuple) else (tile[3],)
        maximum = settings[1] if image.format == "PPM" and len(settings) > 1 else 0
        if image.mode not in ("I", "F") and (";16" in str(settings[0]) or (type(maximum) is int and maximum > 255)):
            return True
    return False


def _require_scale(pixels: npt.NDArray[np.uint8]) -> None:
    """Raise a `ValueError` for gray values in color channels of which 8 bits show too few, as of a 14-bit sensor."""
    low, high = np.percentile(pixels, DEFAULT.percentiles)
    if 4 * (high - low) < 255 and pixels.min() < pixels.max() and bool((pixels == pixels[..., :1]).all()):
        raise ValueError(
            f"its 16-bit channels are equal, and of their 256 shades it uses {int(low)} to {int(high)}; save one "
            "channel of 16 bits, which is stretched"
        )


def _values(image: Image.Image) -> tuple[npt.NDArray[Any], int | None]:
    """Return the values (H, W) of an image of more than 8 bits, and the value that is white or None if it is unknown.

    The array is read as it is: Pillow's conversions of big-endian values go through 8 bits.
    """
    tags: Any = getattr(image, "tag_v2", {})
    full = FULL if image.mode.startswith("I;16") else None
    if full and tags.get(_BITS) == (12,):
        full = 4095
    maximum = _maximum(image)
    values = np.asarray(image)
    if maximum is not None:
        # Pillow has scaled the values to 16 bits by the header's maximum.
        values, full = np.rint(values * (maximum / FULL)).astype(np.int32), maximum
    if image.mode == "I" and tags.get(_SAMPLE_FORMAT) == (_UNSIGNED,):
        values = values.astype(np.uint32)  # Pillow has read unsigned values as signed ones
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        values = -values.astype(np.float64) if full is None else full - values.astype(np.int64)
    return values, full


def _maximum(image: Image.Image) -> int | None:
    """Return the maximum in the header of a PGM image of more than 8 bits; None for other images."""
    if image.format != "PPM" or image.mode != "I":
        return None
    tiles: Any = getattr(image, "tile", [])  # none once it is decoded
    return int(tiles[0].args[1]) if tiles and isinstance(tiles[0].args, tuple) else FULL


def is_deep(path: str) -> bool:
    """Return whether the name and the header of a file of a data set are those of a PNG of 16-bit gray.

    The other formats of data sets have 8 bits. A file that cannot be read is reported where it is decoded.
    """
    if not path.lower().endswith(".png"):
        return False
    try:
        with open_regular(path) as stream:
            # Bit depth and type of color, after the signature, the head of the first chunk and the size.
            return stream.read(26)[24:] == b"\x10\x00"
    except OSError:
        return False


class Decoder:
    """The images of a list of files of a data set, decoded and resized on every access.

    Args:
        paths: the files.
        size: height and width.
        interpolation: a key of `INTERPOLATIONS`.
        stretch: how values of more than 8 bits become 0..255.
    """

    def __init__(
        self, paths: Sequence[str], size: Sequence[int], interpolation: str, stretch: Stretch = DEFAULT
    ) -> None:
        self.paths, self.size, self.interpolation = list(paths), (size[0], size[1]), interpolation
        self.stretch = stretch

    def __getitem__(self, number: int) -> npt.NDArray[np.uint8]:
        """Return the image (H, W, 3) with this index in the list."""
        return read_image(self.paths[number], self.size, self.interpolation, self.stretch)
