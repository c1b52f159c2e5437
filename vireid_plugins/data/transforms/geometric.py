"""Horizontal flip, and random crop after padding."""

from abc import ABC, abstractmethod

import numpy as np
import torch
import torch.nn.functional as F
from fastreid.config import CfgNode
from torch import Tensor

from vireid_plugins.data.transforms.build import TRANSFORM_REGISTRY
from vireid_plugins.data.transforms.canvas import Canvas, Pixels, mirrored
from vireid_plugins.errors import require_name

PADDING_MODES = ("constant", "symmetric")


class Move(ABC):
    """A transform that only moves pixels."""

    @abstractmethod
    def draw(self, canvas: Canvas, rng: np.random.Generator) -> None:
        """Move what a canvas shows."""

    def __call__(self, image: Pixels, rng: np.random.Generator) -> Pixels:
        """Return the moved image."""
        canvas = Canvas(image, np.empty_like(image))
        self.draw(canvas, rng)
        canvas.finish()
        return canvas.out


@TRANSFORM_REGISTRY.register()
class Flip(Move):
    """Flips the image horizontally."""

    @classmethod
    def from_config(cls, cfg: CfgNode) -> "Flip":
        """Build the transform."""
        return cls()

    def draw(self, canvas: Canvas, rng: np.random.Generator) -> None:
        """Flip what the canvas shows."""
        canvas.mirror()

    def batch(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Return the flipped images."""
        return images.flip(3)


@TRANSFORM_REGISTRY.register()
class PadCrop(Move):
    """Pads every side and crops back to the original size at a random position.

    Args:
        size: pixels added on each side (`INPUT.PADDING.SIZE`).
        value: their value (`INPUT.PADDING.VALUE`).
        mode: `constant` for that value, `symmetric` for the mirror image at the border, border pixels included
            (`INPUT.PADDING.MODE`).

    Raises:
        ConfigError: the mode is unknown.
    """

    def __init__(self, size: int = 10, value: int = 0, mode: str = "constant") -> None:
        require_name("INPUT.PADDING.MODE", mode, PADDING_MODES)
        self.size, self.value, self.mode = size, value, mode

    @classmethod
    def from_config(cls, cfg: CfgNode) -> "PadCrop":
        """Build from `INPUT.PADDING`."""
        return cls(cfg.INPUT.PADDING.SIZE, cfg.INPUT.PADDING.VALUE, cfg.INPUT.PADDING.MODE)

    def draw(self, canvas: Canvas, rng: np.random.Generator) -> None:
        """Move what the canvas shows by the drawn offset of the crop."""
        top, left = rng.integers(0, 2 * self.size, 2, endpoint=True).tolist()
        canvas.shift(self.size - top, self.size - left, self.value if self.mode == "constant" else None)

    def batch(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Return the crops."""
        count, _, height, width = images.shape
        device = images.device
        if self.mode == "constant":
            padded = F.pad(images, [self.size] * 4, value=self.value)
        else:
            around = (torch.from_numpy(mirrored(np.arange(-self.size, n + self.size), n)) for n in (height, width))
            rows, columns = (places.to(device, non_blocking=True) for places in around)
            padded = images[:, :, rows[:, None], columns]
        top, left = torch.randint(2 * self.size + 1, (2, count, 1, 1), generator=rng, device=device)
        rows = top + torch.arange(height, device=device)[:, None]
        columns = left + torch.arange(width, device=device)
        # (B, H, W, 3): the result is channels last, whatever the layout of `images`.
        crops = padded[torch.arange(count, device=device)[:, None, None], :, rows, columns]
        return crops.permute(0, 3, 1, 2)
