"""Flip and padded crop."""

import numpy as np
import torch
import torch.nn.functional as F
from fastreid.config import CfgNode
from torch import Tensor

from vireid_plugins.data.transforms.build import TRANSFORM_REGISTRY, Pixels


@TRANSFORM_REGISTRY.register()
class Flip:
    """Mirrors the image left to right."""

    @classmethod
    def from_config(cls, cfg: CfgNode) -> "Flip":
        """Build; nothing is configured."""
        return cls()

    def __call__(self, image: Pixels, rng: np.random.Generator) -> Pixels:
        """Return the mirrored image."""
        # torch mirrors twelve times as fast as numpy copies an array of a negative stride; it takes no read-only ones.
        mirrored: Pixels = torch.from_numpy(image if image.flags.writeable else image.copy()).flip(1).numpy()
        return mirrored

    def batch(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Return the mirrored images."""
        return images.flip(3)


@TRANSFORM_REGISTRY.register()
class PadCrop:
    """Pads every side and crops the original size at a random place.

    Args:
        size: pixels added on each side (`INPUT.PADDING.SIZE`).
        value: what they hold (`INPUT.PADDING.VALUE`).
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
        here = images.device
        padded = F.pad(images, [self.size] * 4, value=self.value)
        top, left = torch.randint(2 * self.size + 1, (2, count, 1, 1), generator=rng, device=here)
        rows = top + torch.arange(height, device=here)[:, None]
        columns = left + torch.arange(width, device=here)
        # (B, H, W, 3): the result is stored channels last, whatever the images are.
        crops = padded[torch.arange(count, device=here)[:, None, None], :, rows, columns]
        return crops.permute(0, 3, 1, 2)
