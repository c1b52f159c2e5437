"""How good a crop is, as one number from 0 to 1: large, sharp and whole.

    quality = size * sharpness * inside
    size = min(1, sqrt(H * W / (256 * 128))), 1 from the size on that networks of this field are given
    sharpness = v / (v + 100), v the variance of the Laplacian of the gray values, 0..255
    inside = share of the box that is inside the image

The variance of the Laplacian is the measure of focus of Pech-Pacheco et al., "Diatom autofocusing in brightfield
microscopy", ICPR 2000. 100 is our choice: below about that an image of this scale looks blurred. The number orders the
crops of a track; between cameras it says little, since noise is sharp too.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from vireid_plugins.data.thermal import DEFAULT, to_eight_bits
from vireid_plugins.detections.frames import Picture

_AREA = 256 * 128
_SHARP = 100.0
# Of red, green and blue in a gray value: ITU-R BT.601.
_LUMA = (0.299, 0.587, 0.114)


def quality_of(crop: Picture, inside: float) -> float:
    """Return the quality of a crop, see the module.

    Args:
        crop: (H, W) or (H, W, 3).
        inside: share of the box that is inside the image, 0..1.
    """
    height, width = crop.values.shape[:2]
    variance = laplacian_variance(_gray(crop))
    size = min(1.0, math.sqrt(height * width / _AREA))
    return size * variance / (variance + _SHARP) * inside


def laplacian_variance(gray: npt.NDArray[np.float32]) -> float:
    """Return the variance of the Laplacian of an image (H, W), 0 if a side is shorter than three pixels."""
    if min(gray.shape) < 3:
        return 0.0
    center = gray[1:-1, 1:-1]
    return float((gray[:-2, 1:-1] + gray[2:, 1:-1] + gray[1:-1, :-2] + gray[1:-1, 2:] - 4 * center).var())


def _gray(crop: Picture) -> npt.NDArray[np.float32]:
    values: npt.NDArray[Any] = crop.values
    if values.ndim == 3:
        return (values @ np.array(_LUMA, np.float32)).astype(np.float32)
    if values.min() == values.max():
        # Counts without a scale cannot be stretched.
        return np.zeros(values.shape, np.float32)
    if values.dtype != np.uint8:
        values = to_eight_bits(values, crop.full, DEFAULT)
    return values.astype(np.float32)
