"""A box of a detector, and the pixels that belong to it.

Coordinates are in pixels of the upright picture; 0 is its left or upper edge, and a box of width 5 that begins at 0
ends at 5. The pixels of a box are found by one rule, which keeps its size: the box is cut off at the edges of the
image, begins with the pixel in which its upper left corner lies, and is as wide and as high as its size rounded up.
Coordinates within a thousandth of a pixel of a whole number count as that number, since boxes come out of float32. So
5 x 9 stays 5 x 9 wherever it is; rounding both corners, as Pillow does, makes it 6 x 8 at (0.5, 1.5).
"""

import math
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

# Pixels by which a coordinate may miss a whole number.
SLACK = 1e-3


class Box(NamedTuple):
    """What a detector or a tracker found.

    Attributes:
        origin: the file and line or entry that it is from, for messages.
        left: left edge in pixels, as are the next three.
        top: upper edge.
        width: width.
        height: height.
        frame: number of its frame; None if it is known by its image alone.
        image: path of its image as the boxes' file gives it; empty if it is known by its frame alone.
        confidence: what the detector gives; None if nothing.
        track: name of its track; empty if there is none.
        category: name of its category; empty if there is none.
    """

    origin: str
    left: float
    top: float
    width: float
    height: float
    frame: int | None = None
    image: str = ""
    confidence: float | None = None
    track: str = ""
    category: str = ""


@dataclass
class Boxes:
    """What a file of boxes holds.

    Attributes:
        file: the file.
        boxes: its boxes, in its order.
        categories: names of all categories that it declares or uses.
        sizes: width and height of images, by path, where the file gives them.
        left_out: numbers of boxes that were left out, by reason.
    """

    file: Path
    boxes: list[Box] = field(default_factory=list)
    categories: set[str] = field(default_factory=set)
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)


class Pixels(NamedTuple):
    """The pixels of a box: columns left..right - 1 and rows top..bottom - 1 of an image."""

    left: int
    top: int
    right: int
    bottom: int


def pixels_of(box: Box, width: int, height: int) -> Pixels | None:
    """Return the pixels of a box, see the module; None if none of it is inside the image.

    Args:
        box: the box.
        width: of the image, in pixels.
        height: of the image, in pixels.
    """
    across, down = _span(box.left, box.width, width), _span(box.top, box.height, height)
    return None if across is None or down is None else Pixels(across[0], down[0], across[1], down[1])


def inside(box: Box, width: int, height: int) -> float:
    """Return the share of a box's area, 0..1, that is inside an image."""
    if box.width <= 0 or box.height <= 0:
        return 0.0
    across = min(box.left + box.width, width) - max(box.left, 0.0)
    down = min(box.top + box.height, height) - max(box.top, 0.0)
    return min(1.0, max(across, 0.0) * max(down, 0.0) / (box.width * box.height))


def _span(start: float, size: float, limit: int) -> tuple[int, int] | None:
    """Return the first pixel of an edge and the one behind its last."""
    low, high = max(start, 0.0), min(start + size, float(limit))
    if high - low <= SLACK:
        return None
    first = min(math.floor(low + SLACK), limit - 1)
    return first, min(first + max(math.ceil(high - low - SLACK), 1), limit)
