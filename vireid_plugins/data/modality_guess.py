"""Tells an infrared image from a visible one by its colour, and says how sure that is.

The three channels of an infrared or thermal image are equal but for compression. The statistic is the mean over pixels
of the largest minus the smallest channel; the curve that turns it into a probability is our choice, and a visible image
without colour is taken for an infrared one.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from vireid_plugins.data.batch import INFRARED, VISIBLE

# Chroma, on the 0..255 scale, at which both are equally likely, and how fast that changes.
BALANCE, STEEPNESS = 5.0, 3.0


class Guess(NamedTuple):
    """`modality` 0 visible or 1 infrared; `probability` of it, 0.5..1; `chroma`, what was measured."""

    modality: int
    probability: float
    chroma: float


def guess_modality(image: npt.NDArray[np.uint8]) -> Guess:
    """Guess the modality of an image (H, W, 3)."""
    chroma = float((image.max(-1) - image.min(-1)).mean(dtype=np.float64))
    visible = 1 / (1 + (BALANCE / max(chroma, 1e-6)) ** STEEPNESS)
    return Guess(VISIBLE if visible >= 0.5 else INFRARED, max(visible, 1 - visible), chroma)
