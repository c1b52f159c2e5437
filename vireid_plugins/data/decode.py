"""Read image files into arrays."""

import struct
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from vireid_plugins.errors import DataError

INTERPOLATIONS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
# Of images of data sets, in any letter case.
DATASET_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp")
# 8,000 x 8,000: far more than any person crop, and 200 MB when decoded.
MAX_PIXELS = 64_000_000


def read_image(path: str, size: Sequence[int], interpolation: str = "bilinear") -> npt.NDArray[np.uint8]:
    """Decode and resize an image, and convert it to RGB; a single channel is repeated three times.

    16-bit gray values are divided by 256. The EXIF orientation is applied. Transparency is ignored.

    Args:
        path: the file.
        size: height and width.
        interpolation: a key of `INTERPOLATIONS`.

    Returns:
        (H, W, 3) uint8.

    Raises:
        DataError: the file cannot be read or decoded, is far too large for a person crop, has several frames, or its
            values have no known scale; the message names it.
    """
    try:
        with Image.open(path) as file:
            _require_crop(file)
            return resized(ImageOps.exif_transpose(file), size, interpolation)
    except (OSError, ValueError, SyntaxError, struct.error, Image.DecompressionBombError) as error:
        raise DataError(f"image '{path}' cannot be read: {error}") from None


def _require_crop(image: Image.Image) -> None:
    """Raise a `ValueError` if an opened image cannot be a person crop; nothing is decoded."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ValueError(f"it has {width} x {height} pixels; at most {MAX_PIXELS:,} pixels are allowed")
    # The second frame of an MPO file is a preview.
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":
        raise ValueError(f"it has {frames} frames; save a single frame as an image")


def resized(image: Image.Image, size: Sequence[int], interpolation: str = "bilinear") -> npt.NDArray[np.uint8]:
    """Return a Pillow image as an array (H, W, 3) of uint8; see `read_image`.

    Raises:
        ValueError: its values are 32-bit integers or floats, whose scale is unknown.
    """
    if image.mode.startswith("I;16"):
        gray = np.asarray(image.convert("I;16") if image.mode != "I;16" else image)
        image = Image.fromarray((gray >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError(f"its pixels have mode {image.mode}, whose scale is unknown; save it with 8 or 16 bits")
    return np.asarray(image.convert("RGB").resize((size[1], size[0]), INTERPOLATIONS[interpolation]))


class Decoder:
    """The images of a list of files, decoded and resized on every access.

    Args:
        paths: the files.
        size: height and width.
        interpolation: a key of `INTERPOLATIONS`.
    """

    def __init__(self, paths: Sequence[str], size: Sequence[int], interpolation: str) -> None:
        self.paths, self.size, self.interpolation = list(paths), (size[0], size[1]), interpolation

    def __getitem__(self, number: int) -> npt.NDArray[np.uint8]:
        """Return the image (H, W, 3) with this index in the list."""
        return read_image(self.paths[number], self.size, self.interpolation)
