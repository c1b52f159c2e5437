"""The registry of transforms and the chain that makes a view."""

from typing import Protocol

import numpy as np
import numpy.typing as npt
from fastreid.config import CfgNode
from fastreid.utils.registry import Registry

from vireid_plugins.config.check import registered, require_name
from vireid_plugins.errors import ConfigError

Pixels = npt.NDArray[np.uint8]

TRANSFORM_REGISTRY = Registry("TRANSFORM")
TRANSFORM_REGISTRY.__doc__ = """
Transforms of one training image. A class with `from_config(cfg)` beside an explicit constructor; called with an image
(H, W, 3) uint8 and a `numpy.random.Generator`, it returns an image of the same form and does not change its input. All
chance comes from the generator, so a sample looks the same whatever worker makes it.
"""


class Transform(Protocol):
    """See `TRANSFORM_REGISTRY`."""

    def __call__(self, image: Pixels, rng: np.random.Generator) -> Pixels:
        """Return the transformed image."""
        ...


class View:
    """Transforms in order, each applied with its own probability.

    Args:
        steps: pairs of a transform and its probability.
    """

    def __init__(self, steps: list[tuple[Transform, float]]) -> None:
        self.steps = steps

    def __call__(self, image: Pixels, rng: np.random.Generator) -> Pixels:
        """Return the augmented image."""
        for transform, probability in self.steps:
            if probability >= 1 or rng.random() < probability:
                image = transform(image, rng)
        return image


def build_view(cfg: CfgNode, names: list[str]) -> View:
    """Build a view from entries `"Name"` or `"Name@probability"`.

    Raises:
        ConfigError: an unknown transform or a probability outside 0..1.
    """
    steps: list[tuple[Transform, float]] = []
    for entry in names:
        name, _, probability = entry.partition("@")
        require_name("INPUT.VIEWS", name, registered(TRANSFORM_REGISTRY))
        try:
            chance = float(probability or 1)
        except ValueError:
            chance = -1.0
        if not 0 <= chance <= 1:
            raise ConfigError(f"INPUT.VIEWS: '{entry}' must end in a probability between 0 and 1, as in '{name}@0.5'")
        steps.append((TRANSFORM_REGISTRY.get(name).from_config(cfg), chance))
    return View(steps)
