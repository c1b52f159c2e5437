"""Images of more than 8 bits: how their values, counts of a sensor or temperatures, become 0..255.

The rule, in this order:

1. `INPUT.THERMAL.LOW` and `HIGH` are set: they become 0 and 255, and what lies outside is cut off. For radiometric
   images, in which a count is a temperature. An image whose values would all become one is refused.
2. The image is flat, or holds 8-bit values (all are multiples of 256, or all of 257), or uses a quarter of its scale or
   more: its scale is divided by 256, as a viewer does.
3. Otherwise its range is narrow, such as that of a 14-bit sensor in a file of 16 bits: `INPUT.THERMAL.PERCENTILES` of
   this image become 0 and 255.

The range in 2 and 3 is that of the values between 0 and white, if there are any: 0 and white themselves are what a file
has for a border, an overlay, or a pixel that is dead or saturated, and would hide a narrow range. All arithmetic is in
float64.

Signed values, 32-bit integers and floats have no scale; of the rules only 1 and 3 apply to them.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from fastreid.config import CfgNode

from vireid_plugins.errors import ConfigError

logger = logging.getLogger("fastreid." + __name__)
# Largest value of 16 bits.
FULL = 65_535
# Number of these rules: pictures that were kept under another are decoded again.
RULES = 2


class Stretch(NamedTuple):
    """How values of more than 8 bits become 0..255; see the module.

    Attributes:
        low: value that becomes 0.
        high: value that becomes 255; with `low` equal to it, each image is stretched by itself.
        percentiles: of an image's values, 0..100; they become 0 and 255.
    """

    low: float = 0.0
    high: float = 0.0
    percentiles: tuple[float, float] = (1.0, 99.0)

    @property
    def fixed(self) -> bool:
        """Whether `low` and `high` are set."""
        return self.low != self.high


DEFAULT = Stretch()


def stretch_of(cfg: CfgNode) -> Stretch:
    """Return the stretch that a configuration sets.

    Raises:
        ConfigError: `LOW` is not below `HIGH`, or the percentiles are not two ascending numbers in 0..100.
    """
    node = cfg.INPUT.THERMAL
    if not (node.LOW < node.HIGH or node.LOW == node.HIGH == 0):
        raise ConfigError(
            f"INPUT.THERMAL.LOW: must be below INPUT.THERMAL.HIGH {node.HIGH:g}, or both 0 for the percentiles of each "
            f"image; got {node.LOW:g}"
        )
    ends = node.PERCENTILES
    if len(ends) != 2 or not all(isinstance(end, int | float) for end in ends) or not 0 <= ends[0] < ends[1] <= 100:
        raise ConfigError(f"INPUT.THERMAL.PERCENTILES: needs two ascending numbers from 0 to 100, got {list(ends)}")
    return Stretch(float(node.LOW), float(node.HIGH), (float(ends[0]), float(ends[1])))


def to_eight_bits(
    values: npt.NDArray[np.generic], full: int | None, stretch: Stretch, name: str = ""
) -> npt.NDArray[np.uint8]:
    """Return gray values 0..255.

    Args:
        values: (H, W) numbers.
        full: the value that is white; None if the values have no scale.
        stretch: how they are stretched.
        name: of the file, for `reporting`.

    Raises:
        ValueError: a value is not finite, the values are all equal and have no scale, or different values would all
            become one.
    """
    numbers = values.astype(np.float64)
    if not np.isfinite(numbers).all():
        raise ValueError("it holds values that are not finite")
    least, most = float(numbers.min()), float(numbers.max())
    if least == most and (full is not None or stretch.fixed):
        _note(name, Range(least, most, full))
    if stretch.fixed:
        low, high = stretch.low, stretch.high
    else:
        low, high = (float(end) for end in np.percentile(_measured(numbers, full), stretch.percentiles))
        if high == low:
            # Few pixels differ, such as a person in front of a wall: the percentiles miss them.
            low, high = least, most
        if full is not None and (high == low or 4 * (high - low) >= full or _eight_bits(values)):
            return np.asarray(numbers * (256 / (full + 1)), np.uint8)
        if high == low:
            raise ValueError(
                f"all its values are {low:g} and their scale is unknown; set INPUT.THERMAL.LOW and INPUT.THERMAL.HIGH"
            )
        _note(name, Range(low, high, full))
    if not np.isfinite(high - low):
        raise ValueError(f"its values from {low:g} to {high:g} are too far apart")
    found = np.rint(np.clip((numbers - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    if least < most and found.min() == found.max():
        raise ValueError(
            f"its values, {least:g} to {most:g}, would all become {found.min()}: INPUT.THERMAL.LOW {low:g} and "
            f"INPUT.THERMAL.HIGH {high:g} do not fit it"
        )
    return found


def _measured(numbers: npt.NDArray[np.float64], full: int | None) -> npt.NDArray[np.float64]:
    """Return the values between 0 and white, or all if there are none or white is unknown."""
    inside = numbers if full is None else numbers[(numbers > 0) & (numbers < full)]
    return inside if inside.size else numbers


def _eight_bits(values: npt.NDArray[np.generic]) -> bool:
    """Return whether an image of 8 bits was saved with 16."""
    whole = values.astype(np.int64)
    return bool((whole % 256 == 0).all() or (whole % 257 == 0).all())


class Range(NamedTuple):
    """The values of an image that became 0 and 255, equal if it is flat, and the value that is white, if known."""

    low: float
    high: float
    full: int | None


# The images that were stretched by themselves, by name, inside `collecting`.
_stretched: ContextVar[dict[str, Range] | None] = ContextVar("stretched", default=None)


def _note(name: str, found: Range) -> None:
    noted = _stretched.get()
    if noted is not None and name:
        noted[name] = found


@contextmanager
def collecting() -> Iterator[dict[str, Range]]:
    """Yield the ranges of the images that this process stretches inside a `with` block, by name."""
    noted: dict[str, Range] = {}
    token = _stretched.set(noted)
    try:
        yield noted
    finally:
        _stretched.reset(token)


@contextmanager
def reporting() -> Iterator[None]:
    """Log one warning on the images that were stretched inside a `with` block, or in a function that this decorates.

    Only the outermost block logs.
    """
    if _stretched.get() is not None:
        yield
        return
    with collecting() as noted:
        try:
            yield
        finally:
            warn_of_range(list(noted), noted)


def warn_of_range(names: Sequence[str], ranges: Mapping[str, Range]) -> None:
    """Log one warning on images that are stretched by themselves, and one on those that are flat.

    Args:
        names: the images.
        ranges: the ranges of some of them; if it is empty, nothing is logged.
    """
    flat = {name: one for name, one in ranges.items() if one.low == one.high}
    if flat:
        logger.warning(
            "%s, the first '%s': all values are equal, here %s, so that nothing can be told from the picture",
            _images(list(flat)),
            next(iter(flat)),
            f"{next(iter(flat.values())).low:.6g}",
        )
    names = [name for name in names if name not in flat]
    ranges = {name: one for name, one in ranges.items() if name not in flat}
    if not ranges:
        return
    low, high = min(one.low for one in ranges.values()), max(one.high for one in ranges.values())
    scales = {one.full for one in ranges.values()}
    logger.warning(
        "%s, the first '%s': a narrow range of values, %s to %s%s, is stretched to 0..255; INPUT.THERMAL.LOW and HIGH "
        "set one range for all images",
        _images(names),
        names[0],
        f"{low:.6g}",
        f"{high:.6g}",
        f" of {scales.pop()}" if len(scales) == 1 and None not in scales else "",
    )


def _images(names: Sequence[str]) -> str:
    return "1 image" if len(names) == 1 else f"{len(names)} images"
