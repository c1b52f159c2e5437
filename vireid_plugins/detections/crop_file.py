"""The file of a crop: without loss, and of one channel with its counts, which are stretched when it is read."""

import io
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from vireid_plugins.data.thermal import FULL
from vireid_plugins.detections.boxes import Pixels
from vireid_plugins.detections.frames import Picture


def cut(picture: Picture, pixels: Pixels) -> Picture:
    """Return the pixels of a box."""
    values = picture.values[pixels.top : pixels.bottom, pixels.left : pixels.right]
    return Picture(np.ascontiguousarray(values), picture.full)


def encoded(crop: Picture) -> tuple[str, bytes]:
    """Return the ending and the content of a crop's file.

    Colors and gray of 8 bits are PNG, gray of 16 bits too; counts with another white, as in PGM of 14 bits, are PGM,
    and counts without a scale are TIFF of 32-bit floats, which hold whole numbers up to 16,777,216.
    """
    if crop.values.dtype == np.uint8:
        return ".png", _saved(crop.values, "PNG")
    if crop.full is None:
        return ".tif", _saved(crop.values.astype(np.float32), "TIFF")
    if crop.full == FULL:
        return ".png", _saved(crop.values.astype(np.uint16), "PNG")
    height, width = crop.values.shape
    return ".pgm", f"P5\n{width} {height}\n{crop.full}\n".encode() + crop.values.astype(">u2").tobytes()


def _saved(values: npt.NDArray[Any], kind: str) -> bytes:
    content = io.BytesIO()
    # A folder of crops is read once and written once: a quick compression.
    Image.fromarray(values).save(content, kind, **({"compress_level": 3} if kind == "PNG" else {}))
    return content.getvalue()
