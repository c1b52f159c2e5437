"""Random brightness, contrast, saturation and hue, as torchvision's `ColorJitter` changes Pillow images (PGM)."""

from collections.abc import Sequence

import numpy as np
import torch
from fastreid.config import CfgNode
from PIL import Image, ImageEnhance
from torch import Tensor

from vireid_plugins.config.keys import Key, declare_table
from vireid_plugins.data.transforms.build import TRANSFORM_REGISTRY, per_image, uniform
from vireid_plugins.data.transforms.canvas import Pixels
from vireid_plugins.data.transforms.photometric import brightness, contrast, contrast_batch, luma, scaled
from vireid_plugins.errors import ConfigError

KEY = "INPUT.COLOR_JITTER"

declare_table(
    Key(
        KEY,
        [0.5, 0.5, 0.5, 0.5],
        "ColorJitter: brightness, contrast and saturation are multiplied by numbers from U(1 - this, 1 + this), and "
        "the hue is turned by a part of the circle from U(-this, this), at most 0.5, in random order.",
    )
)


def saturation(image: Pixels, factor: float) -> Pixels:
    """Return an image (H, W, 3) of uint8 with its differences from its luma multiplied."""
    return np.asarray(ImageEnhance.Color(Image.fromarray(image)).enhance(factor))


def hue(image: Pixels, turn: float) -> Pixels:
    """Return an image (H, W, 3) of uint8 with its hues turned by a part of the circle, -0.5 to 0.5.

    Pillow's hues are 256 steps, so that also `turn` 0 changes some pixels by a little.
    """
    turned = np.array(Image.fromarray(image).convert("HSV"))
    turned[..., 0] += np.uint8(int(turn * 255) % 256)
    return np.asarray(Image.fromarray(turned, "HSV").convert("RGB"))


STEPS = (brightness, contrast, saturation, hue)


@TRANSFORM_REGISTRY.register()
class ColorJitter:
    """Changes brightness, contrast, saturation and hue in random order.

    Args:
        jitter: largest changes of these four (`INPUT.COLOR_JITTER`).

    Raises:
        ConfigError: there are not four numbers from 0 to 1, or the one of the hue is above 0.5.
    """

    def __init__(self, jitter: Sequence[float] = (0.5, 0.5, 0.5, 0.5)) -> None:
        values = list(jitter)
        if len(values) != len(STEPS) or not all(0 <= one <= 1 for one in values) or values[-1] > 0.5:
            raise ConfigError(
                f"{KEY}: must be four numbers from 0 to 1, for brightness, contrast, saturation and hue, the last at "
                f"most 0.5; got {values}"
            )
        self.jitter = tuple(values)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> "ColorJitter":
        """Build from `INPUT.COLOR_JITTER`."""
        return cls(cfg.INPUT.COLOR_JITTER)

    @property
    def _ranges(self) -> list[tuple[float, float]]:
        *factors, turn = self.jitter
        return [*((1 - one, 1 + one) for one in factors), (-turn, turn)]

    def __call__(self, image: Pixels, rng: np.random.Generator) -> Pixels:
        """Return the changed image."""
        for number in rng.permutation(len(STEPS)):
            image = STEPS[number](image, float(rng.uniform(*self._ranges[number])))
        return image

    def batch(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Return the changed images; hues are not rounded to Pillow's steps."""
        drawn = [per_image(uniform(images, rng, *limits)) for limits in self._ranges]
        order = uniform(images, rng, draws=len(STEPS)).argsort(1)
        pixels = images.float()
        for turn in order.unbind(1):
            changed = (
                scaled(pixels * drawn[0]),
                contrast_batch(pixels, drawn[1]),
                scaled(luma(pixels) + drawn[2] * (pixels - luma(pixels))),
                _turned(pixels, drawn[3]),
            )
            pixels = sum(per_image(turn == number) * one for number, one in enumerate(changed))  # type: ignore[assignment]
        return pixels.to(images.dtype)


def _turned(images: Tensor, turn: Tensor) -> Tensor:
    """Turn the hues of images (B, 3, H, W), 0..255, by parts of the circle (B, 1, 1, 1)."""
    red, green, blue = images.unbind(1)
    value, low = images.amax(1), images.amin(1)
    span = value - low
    safe = span.clamp_min(1e-6)
    hues = torch.where(value == blue, 4 + (red - green) / safe, torch.zeros_like(value))
    hues = torch.where(value == green, 2 + (blue - red) / safe, hues)
    hues = torch.where(value == red, (green - blue) / safe, hues)
    sector = (hues / 6 + turn[:, 0]) % 1 * 6
    # Each channel is a trapezoid over the circle, a third of it after the one before.
    channels = [value - span * torch.minimum((n + sector) % 6, 4 - (n + sector) % 6).clamp(0, 1) for n in (5, 3, 1)]
    return scaled(torch.stack(channels, 1) + 0.5)
