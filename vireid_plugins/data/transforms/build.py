"""The registry of transforms and the chain that makes a view."""

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from fastreid.config import CfgNode
from fastreid.utils.registry import Registry
from torch import Tensor

from vireid_plugins.config.check import registered
from vireid_plugins.errors import ConfigError, require_name

# uint8, or float32 in a normalised image.
Pixels = npt.NDArray[Any]

TRANSFORM_REGISTRY = Registry("TRANSFORM")
TRANSFORM_REGISTRY.__doc__ = """
Transforms of one training image. A class with `from_config(cfg)` beside an explicit constructor; called with an image
(H, W, 3) uint8 and a `numpy.random.Generator`, it returns an image of the same form and does not change its input. All
chance comes from the generator, so a sample looks the same whatever worker makes it.

A class with `after_norm = True` also takes and returns a float32 image: with `INPUT.AFTER_NORM` it is given the
normalised image, and so is everything after it.

For `INPUT.AUGMENT device` it also has `batch(images, rng)`: (B, 3, H, W) of one view and a `torch.Generator` on their
device, each image drawn for itself with the same probabilities, and nothing read back from the device.
"""


class Transform(Protocol):
    """See `TRANSFORM_REGISTRY`."""

    def __call__(self, image: Pixels, rng: np.random.Generator) -> Pixels:
        """Return the transformed image."""
        ...

    def batch(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Return the transformed images."""
        ...


class View:
    """Transforms in order, each applied with its own probability.

    Args:
        steps: pairs of a transform and its probability.
        late: how many of the last steps work on the normalised image.
        mean: (3,) of the normalisation, 0..255 scale.
        std: (3,) of the normalisation.
    """

    def __init__(
        self,
        steps: list[tuple[Transform, float]],
        late: int = 0,
        mean: npt.ArrayLike = (0, 0, 0),
        std: npt.ArrayLike = (1, 1, 1),
    ) -> None:
        self.steps, self.late = steps, late
        self.mean, self.std = np.asarray(mean, np.float32), np.asarray(std, np.float32)

    def __call__(self, image: Pixels, rng: np.random.Generator) -> Pixels:
        """Return the augmented image, uint8, or float32 on the same scale where steps work on the normalised image."""
        early = len(self.steps) - self.late
        image = _applied(self.steps[:early], image, rng)
        if not self.late:
            return image
        normalised = (image.astype(np.float32) - self.mean) / self.std
        return _applied(self.steps[early:], normalised, rng) * self.std + self.mean

    def batch(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Return augmented images (B, 3, H, W) of the same distribution; the generator is on their device."""
        early = len(self.steps) - self.late
        images = _applied_to_batch(self.steps[:early], images, rng)
        if not self.late:
            return images
        mean, std = (torch.as_tensor(x, device=images.device).view(-1, 1, 1) for x in (self.mean, self.std))
        return _applied_to_batch(self.steps[early:], (images.float() - mean) / std, rng) * std + mean


def _applied(steps: list[tuple[Transform, float]], image: Pixels, rng: np.random.Generator) -> Pixels:
    for transform, probability in steps:
        if probability >= 1 or rng.random() < probability:
            image = transform(image, rng)
    return image


def _applied_to_batch(steps: list[tuple[Transform, float]], images: Tensor, rng: torch.Generator) -> Tensor:
    for transform, probability in steps:
        changed = transform.batch(images, rng)
        if probability < 1:
            changed = torch.where(per_image(uniform(images, rng) < probability), changed, images)
        images = changed
    return images


def uniform(images: Tensor, rng: torch.Generator, low: float = 0.0, high: float = 1.0, draws: int = 0) -> Tensor:
    """Return (B,) numbers from U(low, high), or (B, draws), where `images` are."""
    shape = (len(images), draws) if draws else (len(images),)
    return low + (high - low) * torch.rand(shape, generator=rng, device=images.device)


def per_image(values: Tensor) -> Tensor:
    """Return (B,) as (B, 1, 1, 1)."""
    return values.view(-1, 1, 1, 1)


def build_view(cfg: CfgNode, names: list[str]) -> View:
    """Build a view from entries `"Name"` or `"Name@probability"`.

    Raises:
        ConfigError: an unknown transform, a probability outside 0..1, or, with `INPUT.AFTER_NORM`, a transform of uint8
            images after one of normalised images.
    """
    steps: list[tuple[Transform, float]] = []
    late = 0
    for entry in names:
        name, _, probability = entry.partition("@")
        require_name("INPUT.VIEWS", name, registered(TRANSFORM_REGISTRY))
        try:
            chance = float(probability or 1)
        except ValueError:
            chance = -1.0
        if not 0 <= chance <= 1:
            raise ConfigError(f"INPUT.VIEWS: '{entry}' must end in a probability between 0 and 1, as in '{name}@0.5'")
        kind = TRANSFORM_REGISTRY.get(name)
        if cfg.INPUT.AFTER_NORM and getattr(kind, "after_norm", False):
            late += 1
        elif late:
            raise ConfigError(
                f"INPUT.VIEWS: with INPUT.AFTER_NORM, '{name}' cannot stand after '{names[len(steps) - 1]}', which "
                "works on the normalised image; put it before"
            )
        steps.append((kind.from_config(cfg), chance))
    return View(steps, late, cfg.MODEL.PIXEL_MEAN, cfg.MODEL.PIXEL_STD)
