"""Turn pixels upright: the eight orientations of EXIF, which videos express as a matrix."""

from typing import Any

import numpy as np
import numpy.typing as npt

# EXIF's number of what is upright already.
UPRIGHT = 1


def upright(pixels: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    """Return pixels (H, W) or (H, W, 3) as they are meant to be seen, (W, H) or (W, H, 3) after a quarter turn.

    Args:
        pixels: as they are stored.
        orientation: the value of EXIF's tag 0x0112, 1..8; others mean upright, as for Pillow.
    """
    if 5 <= orientation <= 8:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)
