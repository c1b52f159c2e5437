"""Draw a person in a pose, as a map of materials."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from vireid_plugins.data.synthetic.person import BAG, BOTTOM, HAIR, SHOES, SKIN, TOP, TRIM, Pattern, Person

Materials = npt.NDArray[np.uint8]
Point = tuple[float, float]


@dataclass(frozen=True)
class Pose:
    """The pose of a person in one image.

    Attributes:
        turn: viewing angle in radians, 0 from the front, pi from behind.
        stride: swing of legs and arms, -1..1.
        x: center of the body, as a share of the image's width.
        y: position of the feet, as a share of the image's height.
        scale: factor on the person's height.
    """

    turn: float
    stride: float
    x: float
    y: float
    scale: float


def draw_pose(rng: np.random.Generator, turn: float) -> Pose:
    """Draw a random pose, seen from about the angle `turn`."""
    return Pose(
        turn=turn + rng.normal(0, 0.35),
        stride=rng.uniform(-1, 1),
        x=rng.uniform(0.42, 0.58),
        y=rng.uniform(0.94, 0.99),
        scale=rng.uniform(0.92, 1.02),
    )


class _Canvas:
    """Canvas for shapes in units of the person's height; the origin is at the feet, on the body's center line."""

    def __init__(self, person: Person, pose: Pose, size: tuple[int, int]) -> None:
        self.height, self.width = size
        self.unit = person.height * pose.scale * self.height
        self.origin = (pose.x * self.width, pose.y * self.height)
        self.image = Image.new("L", (self.width, self.height), 0)
        self.draw = ImageDraw.Draw(self.image)

    def at(self, point: Point) -> Point:
        return self.origin[0] + point[0] * self.unit, self.origin[1] - point[1] * self.unit

    def limb(self, points: list[Point], thickness: float, region: int) -> None:
        pixels = [self.at(p) for p in points]
        wide = max(2, round(thickness * self.unit))
        self.draw.line(pixels, fill=region, width=wide, joint="curve")
        for x, y in pixels:
            self.draw.ellipse([x - wide / 2, y - wide / 2, x + wide / 2, y + wide / 2], fill=region)

    def polygon(self, points: list[Point], region: int) -> None:
        self.draw.polygon([self.at(p) for p in points], fill=region)

    def ellipse(self, center: Point, radii: Point, region: int) -> None:
        (x, y), rx, ry = self.at(center), radii[0] * self.unit, radii[1] * self.unit
        self.draw.ellipse([x - rx, y - ry, x + rx, y + ry], fill=region)


def draw_materials(person: Person, pose: Pose, size: tuple[int, int]) -> Materials:
    """Return a map (H, W) of materials: rows of the person's palettes, of which 0 and 1 are background.

    Args:
        person: the person.
        pose: their pose.
        size: height and width.
    """
    canvas = _Canvas(person, pose, size)
    frontal = abs(np.cos(pose.turn))
    behind = np.cos(pose.turn) < 0
    # Seen from the side, a body is narrower and its limbs swing in the image plane.
    breadth = 0.55 + 0.45 * frontal
    swing = pose.stride * (0.04 + 0.1 * (1 - frontal))
    neck, hip = 1 - 2.4 * person.head, person.legs
    shoulder, waist = person.shoulders * breadth, person.hips * breadth
    if person.bag == "backpack" and not behind:
        side = 1 if np.sin(pose.turn) > 0 else -1
        reach = waist + person.bag_size * (1 - frontal) * 1.6
        canvas.polygon(
            [(0, neck - 0.05), (side * reach, neck - 0.07), (side * reach, hip + 0.08), (0, hip + 0.05)], BAG
        )
    _arm(canvas, person, -1, shoulder, neck, swing)
    _legs(canvas, person, waist, hip, swing)
    hem = hip - person.hem
    flare = 1.15 if person.top == "coat" else 1.0
    canvas.polygon(
        [
            (-shoulder, neck - 0.02),
            (-0.03, neck + 0.02),
            (0.03, neck + 0.02),
            (shoulder, neck - 0.02),
            (waist * flare, hem),
            (-waist * flare, hem),
        ],
        TOP,
    )
    _arm(canvas, person, 1, shoulder, neck, -swing)
    _bag(canvas, person, shoulder, waist, neck, hip, behind, frontal)
    _head(canvas, person, neck, behind, pose.turn)
    return _with_patterns(canvas, person, neck, hip)


def _legs(canvas: _Canvas, person: Person, waist: float, hip: float, swing: float) -> None:
    for side in (-1, 1):
        foot = side * (waist * 0.55) + side * swing * 1.2
        knee = (side * waist * 0.55 + side * swing * 0.5, hip * 0.52)
        ankle = (foot, 0.035)
        covered = person.bottom in ("trousers", "long skirt")
        canvas.limb([knee, ankle], person.girth * 0.8, BOTTOM if covered else SKIN)
        canvas.limb([(side * waist * 0.5, hip), knee], person.girth * 1.15, BOTTOM)
        canvas.ellipse((foot, 0.015), (person.girth * 0.75, 0.02), SHOES)
    if "skirt" in person.bottom:
        low = 0.12 if person.bottom == "long skirt" else hip * 0.5
        wide = waist * 1.55 + abs(swing)
        canvas.polygon([(-waist, hip + 0.03), (waist, hip + 0.03), (wide, low), (-wide, low)], BOTTOM)


def _arm(canvas: _Canvas, person: Person, side: int, shoulder: float, neck: float, swing: float) -> None:
    start = (side * shoulder, neck - 0.035)
    elbow = (side * (shoulder + 0.025) + swing * 0.6, neck - 0.19)
    hand = (side * (shoulder + 0.01) + swing * 1.5, neck - 0.345)
    upper, lower = {"vest": (SKIN, SKIN), "shirt": (TOP, SKIN)}.get(person.top, (TOP, TOP))
    canvas.limb([elbow, hand], person.girth * 0.72, lower)
    canvas.limb([start, elbow], person.girth * 0.85, upper)
    canvas.ellipse(hand, (person.girth * 0.42, person.girth * 0.45), SKIN)
    if person.bag == "handbag" and side == person.bag_side:
        x, y, s = hand[0], hand[1] - 0.02, person.bag_size
        canvas.polygon([(x - s, y), (x + s, y), (x + s, y - 1.5 * s), (x - s, y - 1.5 * s)], BAG)


def _bag(
    canvas: _Canvas,
    person: Person,
    shoulder: float,
    waist: float,
    neck: float,
    hip: float,
    behind: bool,
    frontal: float,
) -> None:
    if person.bag == "backpack":
        if behind:
            s = person.bag_size * (0.5 + 0.6 * frontal)
            canvas.polygon([(-s, neck - 0.03), (s, neck - 0.03), (1.15 * s, hip + 0.07), (-1.15 * s, hip + 0.07)], BAG)
        else:
            for side in (-1, 1):
                canvas.limb([(side * shoulder * 0.6, neck), (side * waist * 0.75, hip + 0.09)], 0.022, TRIM)
    if person.bag == "shoulder":
        side = -person.bag_side if behind else person.bag_side
        s, x = person.bag_size, side * waist * 1.05
        canvas.limb([(-side * shoulder * 0.55, neck), (x, hip + 0.02)], 0.022, TRIM)
        canvas.polygon([(x - s, hip + 0.03), (x + s, hip + 0.03), (x + s, hip - 1.2 * s), (x - s, hip - 1.2 * s)], BAG)


def _head(canvas: _Canvas, person: Person, neck: float, behind: bool, turn: float) -> None:
    r = person.head
    center = (0.0, neck + 1.25 * r)
    back = np.sin(turn) * r * 0.35
    canvas.limb([(0, neck - 0.01), center], r * 0.8, SKIN)
    if person.hair == "long":
        canvas.polygon(
            [(-1.15 * r, center[1]), (1.15 * r, center[1]), (1.2 * r, neck - 0.06), (-1.2 * r, neck - 0.06)], HAIR
        )
    canvas.ellipse(center, (0.82 * r, r * 1.12), SKIN)
    if person.hair == "bald":
        return
    if person.hair == "hood":
        canvas.ellipse((back, center[1] + 0.1 * r), (1.2 * r, 1.35 * r), TOP)
    if behind:
        canvas.ellipse((0, center[1] + 0.15 * r), (0.9 * r, 1.15 * r), TOP if person.hair == "hood" else HAIR)
        if person.hair == "tail":
            canvas.limb([(0, center[1]), (0, neck - 0.07)], 0.55 * r, HAIR)
        return
    if person.hair == "hood":
        canvas.ellipse((-back, center[1]), (0.75 * r, 0.95 * r), SKIN)
        return
    canvas.ellipse((back, center[1] + 0.62 * r), (0.92 * r, 0.68 * r), HAIR)
    if person.hair == "cap":
        canvas.limb([(-r + back, center[1] + 0.55 * r), (r - back, center[1] + 0.55 * r)], 0.3 * r, TRIM)
    if person.hair == "tail":
        canvas.limb([(back * 2.5, center[1] + 0.3 * r), (back * 3.5, neck)], 0.4 * r, HAIR)


def _with_patterns(canvas: _Canvas, person: Person, neck: float, hip: float) -> Materials:
    """Turn regions into materials: 2 * region, plus 1 where a pattern shows its second material."""
    regions = np.asarray(canvas.image)
    across = (np.arange(canvas.width, dtype=np.float32)[None, :] - canvas.origin[0]) / canvas.unit
    up = (canvas.origin[1] - np.arange(canvas.height, dtype=np.float32)[:, None]) / canvas.unit
    materials = regions * 2
    for region, pattern, top, bottom in ((TOP, person.top_pattern, neck, hip), (BOTTOM, person.bottom_pattern, hip, 0)):
        if pattern.kind != "plain":
            materials += (regions == region) & _second_material(pattern, across, up, top, bottom)
    return materials


def _second_material(
    pattern: Pattern, across: npt.NDArray[np.float32], up: npt.NDArray[np.float32], top: float, bottom: float
) -> Any:
    """Return a mask of the pattern's second material, broadcastable to (H, W).

    Args:
        pattern: the pattern.
        across: (1, W) horizontal positions from the body's center line, in units of the person's height.
        up: (H, 1) vertical positions from the feet, in the same units.
        top: upper edge of the garment.
        bottom: lower edge of the garment.
    """
    period, phase = pattern.period, pattern.phase
    down = (top - up) / (top - bottom)
    if pattern.kind == "bars":
        return np.mod(up / period + phase, 1) < 0.5
    if pattern.kind == "pinstripes":
        return np.mod(across / period + 0.25, 1) < 0.5
    if pattern.kind == "checks":
        return (np.mod(up / period + phase, 1) < 0.5) ^ (np.mod(across / period + 0.25, 1) < 0.5)
    if pattern.kind == "dots":
        return (np.mod(across / period + 0.5, 1) - 0.5) ** 2 + (np.mod(up / period + phase, 1) - 0.5) ** 2 < 0.09
    if pattern.kind == "halves":
        return down > 0.35 + 0.3 * phase
    if pattern.kind == "sash":
        return np.abs(across * (1.6 if phase > 0.5 else -1.6) + up - (top + bottom) / 2) < 0.45 * period
    if pattern.kind == "yoke":
        return down < 0.2 + 0.15 * phase
    if pattern.kind == "band":
        return np.abs(down - 0.25 - 0.4 * phase) < 0.9 * period
    if pattern.kind == "patch":
        return (np.abs(across) < 0.5 * period) & (np.abs(down - 0.2 - 0.3 * phase) < 1.1 * period)
    raise ValueError(f"unknown pattern '{pattern.kind}'")
