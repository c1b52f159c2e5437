"""Synthetic cameras: viewing angle, background and sensor."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from vireid_plugins.data.synthetic.figure import draw_materials, draw_pose
from vireid_plugins.data.synthetic.person import Person

# Figures are drawn at this multiple of the final size and averaged down.
SUPERSAMPLING = 2
Pixels = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Camera:
    """A camera and its location.

    Attributes:
        infrared: whether it is an infrared camera.
        turn: usual viewing angle, radians.
        balance: (3,) gain of red, green and blue, or (1,) for infrared.
        noise: standard deviation of the sensor noise, 0..1 scale.
        blur: radius in pixels of the final image.
        vignette: fall-off of an infrared camera's lamp toward the corners.
        scene: (H, W, 3), or (H, W, 1) for infrared: background, slightly larger than an image.
    """

    infrared: bool
    turn: float
    balance: Pixels
    noise: float
    blur: float
    vignette: float
    scene: Pixels


def draw_camera(rng: np.random.Generator, infrared: bool, size: tuple[int, int]) -> Camera:
    """Draw a random camera for images of `size`, height and width."""
    balance = rng.uniform(0.8, 1.1, 1) if infrared else rng.uniform(0.75, 1.15, 3)
    return Camera(
        infrared=infrared,
        turn=rng.uniform(-0.8, 0.8) + (np.pi if rng.random() < 0.25 else 0),
        balance=balance.astype(np.float32),
        noise=rng.uniform(0.02, 0.04) if infrared else rng.uniform(0.005, 0.02),
        blur=rng.uniform(0.3, 0.7),
        vignette=rng.uniform(0.15, 0.35) if infrared else 0.0,
        scene=_scene(rng, infrared, (size[0] + 16, size[1] + 16)),
    )


def _scene(rng: np.random.Generator, infrared: bool, size: tuple[int, int]) -> Pixels:
    """Draw a wall, a floor and a few upright objects."""
    height, width = size
    scene = np.empty((height, width, 1 if infrared else 3), dtype=np.float32)
    horizon = int(height * rng.uniform(0.45, 0.75))
    wall, floor = (_shade(rng, infrared) for _ in range(2))
    ramp = np.linspace(0.85, 1.1, height, dtype=np.float32)[:, None, None]
    scene[:horizon], scene[horizon:] = wall, floor
    scene *= ramp
    for _ in range(rng.integers(2, 5)):
        left, wide = rng.integers(0, width), rng.integers(4, width // 3)
        scene[rng.integers(0, horizon) : horizon + 4, left : left + wide] = _shade(rng, infrared)
    return scene


def _shade(rng: np.random.Generator, infrared: bool) -> Pixels:
    shade = rng.uniform(0.15, 0.7, 1) if infrared else rng.uniform(0.15, 0.75) + rng.uniform(-0.12, 0.12, 3)
    return shade.astype(np.float32)


def photograph(camera: Camera, person: Person, rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Return an image of `person`, RGB from a visible camera and gray from an infrared one.

    Args:
        camera: the camera.
        person: the person.
        rng: generator for pose, light, occlusion and noise.
        size: height and width.
    """
    height, width = size
    large = (height * SUPERSAMPLING, width * SUPERSAMPLING)
    turn = camera.turn + (np.pi if rng.random() < 0.3 else 0)
    materials = draw_materials(person, draw_pose(rng, turn), large)
    if rng.random() < 0.5:
        materials = materials[:, ::-1]
    palette = person.infrared[:, None] if camera.infrared else person.visible
    covered = np.float32(materials >= 2)
    figure = _reduced(palette[materials] * (covered * _light(rng, large))[..., None])
    cover = _reduced(covered[..., None])
    top, left = rng.integers(0, camera.scene.shape[0] - height + 1), rng.integers(0, camera.scene.shape[1] - width + 1)
    image = figure + (1 - cover) * camera.scene[top : top + height, left : left + width]
    if rng.random() < 0.12:
        _occlude(image, rng, camera.infrared)
    image *= camera.balance * rng.uniform(0.8, 1.15)
    if camera.vignette:
        image *= 1 - camera.vignette * _distance_from_middle(size)[..., None]
    return _sensed(image, camera, rng)


def _light(rng: np.random.Generator, size: tuple[int, int]) -> Pixels:
    """Return a random light map (H, W): light from one side, and soft folds of cloth."""
    side = np.linspace(-1, 1, size[1], dtype=np.float32) * np.float32(rng.uniform(-0.2, 0.2))
    coarse = rng.normal(1, 0.08, (size[0] // 32 + 1, size[1] // 32 + 1)).astype(np.float32)
    folds = np.asarray(Image.fromarray(coarse).resize((size[1], size[0]), Image.Resampling.BILINEAR))
    light: Pixels = folds + side
    return light


def _reduced(image: Pixels) -> Pixels:
    """Average blocks of SUPERSAMPLING x SUPERSAMPLING pixels."""
    s = SUPERSAMPLING
    rows = image[::s] + image[1::s]
    reduced: Pixels = (rows[:, ::s] + rows[:, 1::s]) / (s * s)
    return reduced


def _occlude(image: Pixels, rng: np.random.Generator, infrared: bool) -> None:
    """Cover part of the image: a post on one side or a bench at the bottom."""
    height, width, _ = image.shape
    shade = _shade(rng, infrared)
    if rng.random() < 0.5:
        wide = int(width * rng.uniform(0.15, 0.35))
        left = 0 if rng.random() < 0.5 else width - wide
        image[:, left : left + wide] = shade
    else:
        image[int(height * rng.uniform(0.7, 0.85)) :] = shade


def _distance_from_middle(size: tuple[int, int]) -> Pixels:
    y, x = np.linspace(-1, 1, size[0], dtype=np.float32), np.linspace(-1, 1, size[1], dtype=np.float32)
    distance: Pixels = (y[:, None] ** 2 + x**2) / 2
    return distance


def _sensed(image: Pixels, camera: Camera, rng: np.random.Generator) -> Image.Image:
    """Add sensor noise and lens blur."""
    image = image + rng.standard_normal(image.shape, dtype=np.float32) * camera.noise
    pixels = (np.clip(image, 0, 1, out=image) * 255).astype(np.uint8)
    picture = Image.fromarray(pixels[..., 0] if camera.infrared else pixels)
    return picture.filter(ImageFilter.GaussianBlur(camera.blur * rng.uniform(0.5, 1.5)))
