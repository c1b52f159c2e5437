"""Synthetic identities: body, hair, clothes, bag and their materials."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# Regions of the drawing; the two materials of region r are rows 2r and 2r + 1 of the palettes.
BACKGROUND, SKIN, HAIR, TOP, BOTTOM, SHOES, BAG, TRIM = range(8)
REGIONS = 8

PATTERNS = ("plain", "bars", "pinstripes", "checks", "dots", "halves", "sash", "yoke", "band", "patch")
HAIR_STYLES = ("bald", "short", "long", "tail", "cap", "hood")
TOPS = ("vest", "shirt", "sweater", "coat")
BOTTOMS = ("trousers", "shorts", "skirt", "long skirt")
BAGS = ("none", "none", "backpack", "shoulder", "handbag")


@dataclass(frozen=True)
class Pattern:
    """A two-material pattern: `kind` of PATTERNS, `period` and `phase` in units of the person's height."""

    kind: str
    period: float
    phase: float


@dataclass(frozen=True)
class Person:
    """An identity. Lengths are shares of the person's height.

    Attributes:
        height: share of a full-height image that the person fills.
        shoulders: half width of the shoulders.
        hips: half width of the hips.
        legs: leg length.
        girth: thickness of the limbs.
        head: radius of the head.
        hair: of HAIR_STYLES.
        top: of TOPS.
        hem: how far the top reaches below the hips.
        bottom: of BOTTOMS.
        bag: of BAGS.
        bag_size: half width of the bag.
        bag_side: -1 or 1, the shoulder or hand that carries it.
        top_pattern: pattern of the top.
        bottom_pattern: pattern of the bottom.
        visible: (2 * REGIONS, 3) colors, 0..1.
        infrared: (2 * REGIONS,) reflectances, 0..1.
    """

    height: float
    shoulders: float
    hips: float
    legs: float
    girth: float
    head: float
    hair: str
    top: str
    hem: float
    bottom: str
    bag: str
    bag_size: float
    bag_side: int
    top_pattern: Pattern
    bottom_pattern: Pattern
    visible: npt.NDArray[np.float32]
    infrared: npt.NDArray[np.float32]


def draw_person(rng: np.random.Generator) -> Person:
    """Draw a random identity."""
    visible, infrared = _materials(rng)
    top = str(rng.choice(TOPS))
    return Person(
        height=rng.uniform(0.78, 0.94),
        shoulders=rng.uniform(0.095, 0.145),
        hips=rng.uniform(0.07, 0.115),
        legs=rng.uniform(0.43, 0.51),
        girth=rng.uniform(0.045, 0.075),
        head=rng.uniform(0.058, 0.072),
        hair=str(rng.choice(HAIR_STYLES)),
        top=top,
        hem=rng.uniform(0.1, 0.26) if top == "coat" else rng.uniform(-0.03, 0.06),
        bottom=str(rng.choice(BOTTOMS)),
        bag=str(rng.choice(BAGS)),
        bag_size=rng.uniform(0.05, 0.085),
        bag_side=int(rng.choice((-1, 1))),
        top_pattern=_pattern(rng, PATTERNS),
        bottom_pattern=_pattern(rng, ("plain", "plain", "pinstripes", "bars", "checks", "band")),
        visible=visible,
        infrared=infrared,
    )


def _pattern(rng: np.random.Generator, kinds: tuple[str, ...]) -> Pattern:
    return Pattern(str(rng.choice(kinds)), period=rng.uniform(0.07, 0.15), phase=rng.uniform(0, 1))


def _materials(rng: np.random.Generator) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Draw the visible and the infrared palette.

    Color and reflectance are independent, except that the same one of a region's two materials is brighter in both.
    """
    visible = rng.uniform(0.05, 0.95, (2 * REGIONS, 3))
    infrared = rng.uniform(0.1, 0.95, 2 * REGIONS)
    for region in range(REGIONS):
        first, second = 2 * region, 2 * region + 1
        # Enough contrast to make patterns recognizable in both modalities.
        base = rng.uniform(0.1, 0.45)
        infrared[[first, second]] = base, base + rng.uniform(0.3, 0.5)
        luma = visible @ (0.299, 0.587, 0.114)
        visible[first] *= 0.25 / max(luma[first], 0.25)
        visible[second] = 1 - (1 - visible[second]) * min(1.0, 0.4 / max(1 - luma[second], 1e-3))
        if rng.random() < 0.5:
            visible[[first, second]] = visible[[second, first]]
            infrared[[first, second]] = infrared[[second, first]]
    tone = rng.uniform(0.45, 1)
    visible[2 * SKIN : 2 * SKIN + 2] = np.array([0.95, 0.75, 0.62]) * tone
    infrared[2 * SKIN : 2 * SKIN + 2] = rng.uniform(0.65, 0.8)
    return visible.astype(np.float32), infrared.astype(np.float32)
