"""Horizontal flip, and random crop after padding."""

import numpy as np
import torch
import torch.nn.functional as F
from fastreid.config import CfgNode
from torch import Tensor

from vireid_plugins.data.transforms.build import TRANSFORM_REGISTRY, Pixels


@TRANSFORM_REGISTRY.register()
class Flip:
    """Flips the image horizontally."""

    @classmethod
    def from_config(cls, cfg: CfgNode) -> "Flip":
        """Build the transform."""
        return cls()

    def __call__(self, image: Pixels, rng: np.random.Generator) -> Pixels:
        """Return the flipped image."""
        # torch flips 12 times as fast as numpy copies an array with a negative stride, but rejects read-only arrays.
        flipped: Pixels = torch.from_numpy(image if image.flags.writeable else image.copy()).flip(1).numpy()
        return flipped

    def batch(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Return the flipped images."""
        return images.flip(3)


@TRANSFORM_REGISTRY.register()
class PadCrop:
    """Pads every side and crops back to the original size at a random position.

    Args:
        size: pixels added on each side (`INPUT.PADDING.SIZE`).
        value: their value (`INPUT.PADDING.VALUE`).
    """

    def __init__(self, size: int = 10, value: int = 0) -> None:
        self.size, self.value = size, value

    @classmethod
    def from_config(cls, cfg: CfgNode) -> "PadCrop":
        """Build from `INPUT.PADDING`."""
        return cls(cfg.INPUT.PADDING.SIZE, cfg.INPUT.PADDING.VALUE)

    def __call__(self, image: Pixels, rng: np.random.Generator) -> Pixels:
        """Return the crop."""
        height, width, _ = image.shape
        padded = np.full((height + 2 * self.size, width + 2 * self.size, 3), self.value, dtype=np.uint8)
        padded[self.size : self.size + height, self.size : self.size + width] = image
        top, left = rng.integers(0, 2 * self.size, 2, endpoint=True)
        return padded[top : top + height, left : left + width]

    def batch(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Return the crops."""
        count, _, height, width = images.shape
        device = images.device
        padded = F.pad(images, [self.size] * 4, value=self.value)
        top, left = torch.randint(2 * self.size + 1, (2, count, 1, 1), generator=rng, device=device)
        rows = top + torch.arange(height, device=device)[:, None]
        columns = left + torch.arange(width, device=device)
        # (B, H, W, 3): the result is channels last, whatever the layout of `images`.
        crops = padded[torch.arange(count, device=device)[:, None, None], :, rows, columns]
        return crops.permute(0, 3, 1, 2)
