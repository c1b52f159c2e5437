"""The registry of transforms, and views: chains of transforms."""

from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from fastreid.config import CfgNode
from fastreid.utils.registry import Registry
from torch import Tensor

from vireid_plugins.config.check import registered
from vireid_plugins.data.transforms.canvas import Canvas, Pixels
from vireid_plugins.errors import ConfigError, require_name

# The entry of a view from which on its transforms work on the normalized image.
NORMALIZE = "Normalize"
TRANSFORM_REGISTRY = Registry("TRANSFORM")
TRANSFORM_REGISTRY.__doc__ = """
Transforms of one training image. A class with an explicit constructor and `from_config(cfg)`. Called with an image
(H, W, 3) uint8 and a `numpy.random.Generator`, it returns an image of the same shape and type and leaves its input
unchanged. All randomness comes from the generator, so that a sample does not depend on the worker that reads it.

A class with `after_norm = True` also accepts and returns float32 images: with `INPUT.AFTER_NORM`, it and all later
transforms of the view are given the normalized image. So are all that follow the entry `Normalize` of a view.

A class that moves or fills pixels may also have `draw(canvas, rng)`, which does with a `Canvas` what a call does with
its image, with the same random numbers: such steps share one pass over the pixels.

For `INPUT.AUGMENT device` it also has `batch(images, rng)`, which takes the images (B, 3, H, W) of one view and a
`torch.Generator` on their device. It draws for each image independently, with the same probabilities, and does not
synchronize with the device.
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
        late: number of final steps that work on the normalized image.
        mean: (3,) of the normalization, 0..255 scale.
        std: (3,) of the normalization, 0..255 scale.
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

    @property
    def dtype(self) -> type[np.generic]:
        """The type of an augmented image: uint8, or float32 if steps work on the normalized image."""
        return np.float32 if self.late else np.uint8

    def __call__(self, image: Pixels, rng: np.random.Generator) -> Pixels:
        """Return the augmented image (H, W, 3) of an image of uint8, on the same scale."""
        out = np.empty(image.shape, self.dtype)
        self.into(out, image, rng)
        return out

    def into(self, out: Pixels, image: Pixels, rng: np.random.Generator) -> None:
        """Augment an image.

        Args:
            out: (H, W, 3), contiguous, where the augmented image is written to: uint8 or float32; uint8 only if
                `dtype` is.
            image: (H, W, 3) of uint8, which stays as it is.
            rng: draws everything that is random.
        """
        early = len(self.steps) - self.late
        canvas = Canvas(image, out if out.dtype == image.dtype else np.empty_like(image))
        _draw(self.steps[:early], canvas, rng)
        if self.late:
            # In rows, whatever the layout of what a transform returned, so that `rows` are its own numbers.
            normalized = canvas.pixels().astype(np.float32, order="C")
            # Rows of numbers: three at a time, each operation would take five times as long.
            rows = normalized.reshape(len(normalized), -1)
            mean, std = (np.tile(numbers, image.shape[1]) for numbers in (self.mean, self.std))
            rows -= mean
            rows /= std
            canvas = Canvas(normalized, normalized)
            _draw(self.steps[early:], canvas, rng)
            rows = canvas.pixels().reshape(rows.shape) * std
            np.add(rows, mean, out=out.reshape(rows.shape))
        elif canvas.out is out:
            canvas.finish()
        else:
            out[...] = canvas.pixels()

    def batch(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Return augmented images (B, 3, H, W), distributed as in `__call__`; the generator is on their device."""
        early = len(self.steps) - self.late
        images = _applied_to_batch(self.steps[:early], images, rng)
        if not self.late:
            return images
        mean, std = (torch.as_tensor(x, device=images.device).view(-1, 1, 1) for x in (self.mean, self.std))
        return _applied_to_batch(self.steps[early:], (images.float() - mean) / std, rng) * std + mean


def _draw(steps: list[tuple[Transform, float]], canvas: Canvas, rng: np.random.Generator) -> None:
    """Apply transforms to what a canvas shows."""
    for transform, probability in steps:
        if probability >= 1 or rng.random() < probability:
            draw = getattr(transform, "draw", None)
            if draw is not None:
                draw(canvas, rng)
            else:
                canvas.replace(_same_form(transform, canvas, transform(canvas.pixels(), rng)))


def _same_form(transform: Transform, canvas: Canvas, image: Pixels) -> Pixels:
    """Return what a transform returned, if it may go into a batch."""
    given = canvas.out
    if (image.shape, image.dtype) != (given.shape, given.dtype):
        raise ConfigError(
            f"INPUT.VIEWS: {type(transform).__name__} must return an image {given.shape} of {given.dtype}, as it was "
            f"given, and not {image.shape} of {image.dtype}"
        )
    return image


def _applied_to_batch(steps: list[tuple[Transform, float]], images: Tensor, rng: torch.Generator) -> Tensor:
    for transform, probability in steps:
        changed = transform.batch(images, rng)
        if probability < 1:
            changed = torch.where(per_image(uniform(images, rng) < probability), changed, images)
        images = changed
    return images


def uniform(images: Tensor, rng: torch.Generator, low: float = 0.0, high: float = 1.0, draws: int = 0) -> Tensor:
    """Draw (B,) numbers, or (B, draws), from U(low, high) on the device of `images`."""
    shape = (len(images), draws) if draws else (len(images),)
    return low + (high - low) * torch.rand(shape, generator=rng, device=images.device)


def per_image(values: Tensor) -> Tensor:
    """Reshape (B,) to (B, 1, 1, 1)."""
    return values.view(-1, 1, 1, 1)


class OneOf:
    """One of several transforms, each as likely as the others; written `"First|Second"`.

    Args:
        choices: the transforms.
    """

    def __init__(self, choices: list[Transform]) -> None:
        self.choices = choices

    def __call__(self, image: Pixels, rng: np.random.Generator) -> Pixels:
        """Return the image that the drawn transform returns."""
        return self.choices[rng.integers(len(self.choices))](image, rng)

    def batch(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Return the images, of each of which one transform is drawn."""
        drawn = per_image((len(self.choices) * uniform(images, rng)).long())
        out = images
        for number, transform in enumerate(self.choices):
            out = torch.where(drawn == number, transform.batch(images, rng), out)
        return out


def build_view(cfg: CfgNode, names: list[str], key: str = "INPUT.VIEWS") -> View:
    """Build a view from entries `"Name"` or `"Name@probability"`, or `NORMALIZE`; a name may be several, as in `"A|B"`.

    Args:
        cfg: the configuration.
        names: the entries.
        key: what they are of, for the messages.

    Raises:
        ConfigError: a transform is unknown, a probability is outside 0..1, a transform of uint8 images is given
            normalized ones, or one of normalized images uint8.
    """
    steps: list[tuple[Transform, float]] = []
    late = 0
    normalized = False
    if not isinstance(names, list | tuple) or not all(isinstance(entry, str) for entry in names):
        raise ConfigError(f"{key}: each view is a list of names, such as ['Flip', 'Erase@0.5']; got {names!r}")
    for entry in names:
        if entry == NORMALIZE:
            normalized = True
            continue
        name, _, probability = entry.partition("@")
        parts = name.split("|")
        for part in parts:
            require_name(key, part, registered(TRANSFORM_REGISTRY))
        try:
            chance = float(probability or 1)
        except ValueError:
            chance = -1.0
        if not 0 <= chance <= 1:
            raise ConfigError(f"{key}: '{entry}' must end in a probability between 0 and 1, as in '{name}@0.5'")
        kinds = [TRANSFORM_REGISTRY.get(part) for part in parts]
        by_key = cfg.INPUT.AFTER_NORM and NORMALIZE not in names
        if (normalized or by_key) and all(getattr(kind, "after_norm", False) for kind in kinds):
            late += 1
        elif normalized:
            raise ConfigError(f"{key}: '{name}' takes no normalized image; move it before '{NORMALIZE}'")
        elif late:
            raise ConfigError(
                f"{key}: with INPUT.AFTER_NORM, '{name}' cannot follow '{names[len(steps) - 1]}', which works on "
                "the normalized image; move it before"
            )
        built = [kind.from_config(cfg) for kind in kinds]
        if any(getattr(one, "needs_normalized", False) for one in built) and not late:
            raise ConfigError(
                f"{key}: '{name}' fills with noise (INPUT.REA.FILL), which is that of normalized images; write "
                f"'{NORMALIZE}' before it, or set INPUT.AFTER_NORM"
            )
        steps.append((built[0] if len(built) == 1 else OneOf(built), chance))
    return View(steps, late, cfg.MODEL.PIXEL_MEAN, cfg.MODEL.PIXEL_STD)
