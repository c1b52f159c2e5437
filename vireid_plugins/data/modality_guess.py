"""Guess whether an image is visible or infrared from its colors: which is likelier, and whether that is sure.

An infrared image is gray, or has the slight tint of some night cameras, which follows its brightness; a visible one has
colors that brightness does not explain. Three numbers are measured on means of blocks, which take away the noise of
pixels and of JPEG's colors, all on the scale 0..255:

    color      mean distance of (Cb, Cr) from their mean over blocks of equal brightness
    tint       mean over blocks of the largest minus the smallest channel
    brightness mean of Y

| color | |
|---|---|
| up to `GRAY` | infrared; unsure if `tint` is above `TINTED` or `brightness` below `DARK`, where JPEG leaves no color |
| from `COLORED` on | visible |
| between | unsure |

No infrared camera has a tint above `FILTERED`: sepia, or one colored light. Visible is the likelier then.

The limits are our choice, from photographs; docs/image_search.md has what they were chosen from.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from vireid_plugins.data.batch import INFRARED, VISIBLE

GRAY, COLORED = 0.3, 1.5
TINTED, FILTERED, DARK = 8.0, 25.0, 20.0
# From this certainty on a guess is sure.
SURE = 0.9
# Blocks on the short side of an image, groups of equal brightness, and the least blocks in one of them.
_BLOCKS, _GROUPS, _LEAST = 18, 24, 16


class Guess(NamedTuple):
    """`modality`: the likelier, 0 visible, 1 infrared; `certainty`: 0.5..1, sure from SURE on; `color`: see the module.

    The certainty orders guesses and is no frequency: 0.5 where both are equally likely, SURE at GRAY and COLORED.
    """

    modality: int
    certainty: float
    color: float

    @property
    def sure(self) -> bool:
        """Whether the guess is outside the margin."""
        return self.certainty >= SURE


def guess_modality(image: npt.NDArray[np.uint8]) -> Guess:
    """Guess the modality of an image (H, W, 3), of the size that a network is given."""
    blocks = _blocks(image)
    brightness = blocks @ np.array([0.299, 0.587, 0.114])
    color = _color(blocks, brightness)
    tint = float((blocks.max(1) - blocks.min(1)).mean())
    middle = math.sqrt(GRAY * COLORED)
    steepness = math.log(SURE / (1 - SURE)) / math.log(COLORED / middle)
    visible = 1 / (1 + (middle / max(color, 1e-6)) ** steepness)
    if tint > FILTERED:
        visible = max(visible, 1 - visible)
    doubtful = color < COLORED if visible >= 0.5 else tint > TINTED or brightness.mean() < DARK
    certainty = max(visible, 1 - visible)
    modality = VISIBLE if visible >= 0.5 else INFRARED
    return Guess(modality, min(certainty, SURE - 0.01) if doubtful else certainty, color)


def _blocks(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Return the mean colors (n, 3) of blocks of an image (H, W, 3)."""
    height, width = image.shape[:2]
    side = max(1, min(height, width) // _BLOCKS)
    rows, columns = height // side, width // side
    cut = image[: rows * side, : columns * side].astype(np.float64)
    means: npt.NDArray[np.float64] = cut.reshape(rows, side, columns, side, 3).mean((1, 3)).reshape(-1, 3)
    return means


def _color(blocks: npt.NDArray[np.float64], brightness: npt.NDArray[np.float64]) -> float:
    """Return how far the colors of blocks (n, 3) are from those of other blocks of the same brightness (n,)."""
    chroma = np.stack([(blocks[:, 2] - brightness) * 0.564, (blocks[:, 0] - brightness) * 0.713], 1)
    groups = min(_GROUPS, max(1, len(blocks) // _LEAST))
    for group in np.array_split(np.argsort(brightness, kind="stable"), groups):
        chroma[group] -= chroma[group].mean(0)
    return float(np.hypot(*chroma.T).mean())
