"""Reads image files into arrays."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from vireid_plugins.errors import DataError

INTERPOLATIONS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def read_image(path: str, size: Sequence[int], interpolation: str = "bilinear") -> npt.NDArray[np.uint8]:
    """Decode and resize an image; one channel becomes three equal ones.

    Args:
        path: the file.
        size: height and width.
        interpolation: a key of `INTERPOLATIONS`.

    Returns:
        (H, W, 3) uint8.

    Raises:
        DataError: the file cannot be read or decoded; the message names it.
    """
    try:
        with Image.open(path) as file:
            return resized(file, size, interpolation)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"image '{path}' cannot be read: {error}") from None


def resized(image: Image.Image, size: Sequence[int], interpolation: str = "bilinear") -> npt.NDArray[np.uint8]:
    """Return an image of Pillow as an array (H, W, 3) of uint8; see `read_image`."""
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
