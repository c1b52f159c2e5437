"""Small pictures of images, and the images of queries."""

import io
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from vireid_plugins.data.decode import interpolation_of_tests, opened_bytes, resized
from vireid_plugins.data.thermal import Stretch

# Largest width and height of a thumbnail, in pixels: twice what the page shows, for dense screens.
BOX = (192, 384)
QUALITY = 80
# Tag of EXIF, and its values with rows for columns.
_ORIENTATION, _TURNED = 0x0112, range(5, 9)
# Endings of files, by Pillow's names of their formats.
_ENDINGS = {"JPEG": ".jpg", "MPO": ".jpg", "PNG": ".png", "BMP": ".bmp", "TIFF": ".tif", "PPM": ".pgm", "WEBP": ".webp"}


class Upload(NamedTuple):
    """An image that a client has sent: its pixels for the network (H, W, 3), and the ending of its kind of file."""

    pixels: npt.NDArray[np.uint8]
    ending: str


def uploaded(data: bytes, extractor: Any, pixels: int) -> Upload:
    """Return the image of a query.

    Args:
        data: content of an image file.
        extractor: the `Extractor` that it is for.
        pixels: largest number of pixels.

    Raises:
        DataError: it cannot be read, or is too large.
    """
    size = extractor.cfg.INPUT.SIZE_TEST
    with opened_bytes(data, pixels) as image:
        ending = _ENDINGS[image.format or ""]
        return Upload(resized(image, size, interpolation_of_tests(extractor.cfg), extractor.stretch), ending)


def thumbnail(data: bytes, stretch: Stretch) -> bytes:
    """Return an image as a small JPEG; its sides keep their proportion.

    Args:
        data: content of an image file.
        stretch: how images of more than 8 bits are shown.

    Raises:
        DataError: it cannot be read.
    """
    stream = io.BytesIO()
    with opened_bytes(data) as image:
        turned = image.getexif().get(_ORIENTATION) in _TURNED
        width, height = reversed(image.size) if turned else image.size
        scale = min(1.0, BOX[0] / width, BOX[1] / height)
        size = max(1, round(height * scale)), max(1, round(width * scale))
        Image.fromarray(resized(image, size, stretch=stretch)).save(stream, "JPEG", quality=QUALITY)
    return stream.getvalue()
