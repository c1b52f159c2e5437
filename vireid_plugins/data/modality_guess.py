"""Guess whether an image is visible or infrared from its color, with a probability.

The three channels of an infrared or thermal image are equal up to compression. The statistic is the mean over pixels
of the largest minus the smallest channel; the curve that turns it into a probability is our choice. A visible image
without color is classified as infrared.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from vireid_plugins.data.batch import INFRARED, VISIBLE

# Chroma, on the 0..255 scale, at which both modalities are equally likely, and the steepness of the curve there.
BALANCE, STEEPNESS = 5.0, 3.0


class Guess(NamedTuple):
    """`modality`: 0 visible, 1 infrared; `probability`: of that modality, 0.5..1; `chroma`: the measured statistic."""

    modality: int
    probability: float
    chroma: float


def guess_modality(image: npt.NDArray[np.uint8]) -> Guess:
    """Guess the modality of an image (H, W, 3)."""
    chroma = float((image.max(-1) - image.min(-1)).mean(dtype=np.float64))
    visible = 1 / (1 + (BALANCE / max(chroma, 1e-6)) ** STEEPNESS)
    return Guess(VISIBLE if visible >= 0.5 else INFRARED, max(visible, 1 - visible), chroma)
