"""Reads image files into arrays."""

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
# A side of 8,000: far more than any crop, and 200 MB when decoded.
MOST_PIXELS = 64_000_000


def read_image(path: str, size: Sequence[int], interpolation: str = "bilinear") -> npt.NDArray[np.uint8]:
    """Decode and resize an image; one channel becomes three equal ones, a palette or inks its colours.

    16-bit grey values are divided by 256. What a camera noted of the way it was held (EXIF) is followed. Colours under
    transparent pixels are taken as they are.

    Args:
        path: the file.
        size: height and width.
        interpolation: a key of `INTERPOLATIONS`.

    Returns:
        (H, W, 3) uint8.

    Raises:
        DataError: the file cannot be read or decoded, is far too large for a crop of a person, holds several frames or
            values without a scale; the message names it.
    """
    try:
        with Image.open(path) as file:
            # Before a pixel is decoded.
            _require_crop(file)
            return resized(ImageOps.exif_transpose(file), size, interpolation)
    except (OSError, ValueError, SyntaxError, struct.error, Image.DecompressionBombError) as error:
        raise DataError(f"image '{path}' cannot be read: {error}") from None


def _require_crop(image: Image.Image) -> None:
    """Raise a `ValueError` for what opens as an image and is none that a person was cut out to."""
    width, height = image.size
    if width * height > MOST_PIXELS:
        raise ValueError(f"it has {width} x {height} pixels; a crop of a person has at most {MOST_PIXELS:,} here")
    # A photograph with a preview in it (MPO) is one image all the same.
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":
        raise ValueError(f"it has {frames} frames; save one of them as an image")


def resized(image: Image.Image, size: Sequence[int], interpolation: str = "bilinear") -> npt.NDArray[np.uint8]:
    """Return an image of Pillow as an array (H, W, 3) of uint8; see `read_image`.

    Raises:
        ValueError: its values are 32-bit integers or fractions, whose scale nobody says.
    """
    if image.mode.startswith("I;16"):
        grey = np.asarray(image.convert("I;16") if image.mode != "I;16" else image)
        image = Image.fromarray((grey >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError(f"its pixels have mode {image.mode}, whose scale is not known; save it with 8 or 16 bits")
    return np.asarray(image.convert("RGB").resize((size[1], size[0]), INTERPOLATIONS[interpolation]))


class Decoder:
    """Images of a list of files, decoded and resized each time they are asked for.

    Args:
        paths: the files.
        size: height and width.
        interpolation: a key of `INTERPOLATIONS`.
    """

    def __init__(self, paths: Sequence[str], size: Sequence[int], interpolation: str) -> None:
        self.paths, self.size, self.interpolation = list(paths), (size[0], size[1]), interpolation

    def __getitem__(self, number: int) -> npt.NDArray[np.uint8]:
        """Return the image (H, W, 3) of that number in the list."""
        return read_image(self.paths[number], self.size, self.interpolation)
