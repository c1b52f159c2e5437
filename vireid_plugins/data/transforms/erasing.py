"""Random erasing (Zhong et al., AAAI 2020, arXiv 1708.04896).

There are two ways to draw the aspect ratio (height / width). torchvision, and IDKL with it, draws it log-uniformly.
The code of AGW, CAJ, DEEN and MSCMNet draws it uniformly, which favors tall rectangles: between 0.3 and 1 / 0.3, 77 %
are drawn taller than wide instead of 50 %.
"""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from fastreid.config import CfgNode
from torch import Tensor

from vireid_plugins.data.transforms.build import TRANSFORM_REGISTRY, per_image
from vireid_plugins.data.transforms.canvas import Canvas, Pixels
from vireid_plugins.data.transforms.rectangles import Rectangle, Rectangles, placed
from vireid_plugins.errors import ConfigError, require_name

ASPECT_DRAWS = ("log", "even")
FILLS = ("value", "noise")


@TRANSFORM_REGISTRY.register()
class Erasing:
    """Fills a random rectangle.

    Args:
        value: color of the rectangle on the 0..255 scale (`INPUT.REA.VALUE`), rounded. A normalized image is filled
            with this value / 255, as in CAJ and MSCMNet.
        area: smallest and largest share of the image (`INPUT.REA.AREA`).
        aspect: smallest and largest height / width (`INPUT.REA.ASPECT`).
        aspect_draw: `log` for log-uniform, `even` for uniform (`INPUT.REA.ASPECT_DRAW`).
        fill: `value` for the color, `noise` for standard normal numbers in the normalized image (`INPUT.REA.FILL`).

    Raises:
        ConfigError: a range is empty or not positive, the area exceeds the image, the value is not a color on the
            0..255 scale, or `aspect_draw` or `fill` is unknown.
    """

    attempts = 100
    after_norm: ClassVar[bool] = True

    def __init__(
        self,
        value: Sequence[float] = (124, 116, 104),
        area: Sequence[float] = (0.02, 0.4),
        aspect: Sequence[float] = (0.3, 3.33),
        aspect_draw: str = "log",
        fill: str = "value",
    ) -> None:
        if len(value) != 3 or not all(0 <= channel <= 255 for channel in value):
            raise ConfigError(f"INPUT.REA.VALUE: must be three numbers from 0 to 255, got {list(value)}")
        if 0 < max(value) <= 1:
            raise ConfigError(f"INPUT.REA.VALUE: {list(value)} is on the 0..1 scale; multiply it by 255")
        require_name("INPUT.REA.ASPECT_DRAW", aspect_draw, ASPECT_DRAWS)
        require_name("INPUT.REA.FILL", fill, FILLS)
        self.needs_normalized = fill == "noise"
        self.value = np.asarray(value, dtype=np.float64)
        self.rectangles = Rectangles("INPUT.REA", area, aspect, aspect_draw == "log")

    @classmethod
    def from_config(cls, cfg: CfgNode) -> "Erasing":
        """Build from `INPUT.REA`."""
        node = cfg.INPUT.REA
        return cls(node.VALUE, node.AREA, node.ASPECT, node.ASPECT_DRAW, node.FILL)

    def __call__(self, image: Pixels, rng: np.random.Generator) -> Pixels:
        """Return the image with one rectangle filled, or unchanged if no drawn rectangle fits."""
        canvas = Canvas(image, np.empty_like(image))
        self.draw(canvas, rng)
        return canvas.pixels()

    def draw(self, canvas: Canvas, rng: np.random.Generator) -> None:
        """Fill one rectangle of what the canvas shows, if a drawn one fits."""
        height, width, _ = canvas.out.shape
        rectangle = self.rectangle(height, width, rng)
        if rectangle is not None:
            top, left, h, w = rectangle
            bytes_ = canvas.out.dtype == np.uint8
            fill = np.rint(self.value) if bytes_ else self.value / 255
            if self.needs_normalized:
                fill = rng.standard_normal((h, w, 3), np.float32)
            canvas.own()[top : top + h, left : left + w] = fill

    def rectangle(self, height: int, width: int, rng: np.random.Generator) -> Rectangle | None:
        """Draw a rectangle inside an image: top, left, height and width in pixels; None if none fits."""
        for _ in range(self.attempts):
            rectangle = self.rectangles.draw(height, width, rng)
            if rectangle is not None:
                return rectangle
        return None

    def batch(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Return the images, each with one rectangle filled, or unchanged if no drawn rectangle fits."""
        h, w, fits = self.rectangles.sizes(images, rng, self.attempts)
        first = fits.int().argmax(1, keepdim=True)
        inside = placed(images, h.gather(1, first)[:, 0], w.gather(1, first)[:, 0], rng)
        bytes_ = images.dtype == torch.uint8
        value = torch.from_numpy(np.rint(self.value) if bytes_ else self.value / 255)
        value = value.to(images.device, images.dtype, non_blocking=True).view(-1, 1, 1)
        if self.needs_normalized:
            value = torch.randn(images.shape, generator=rng, device=images.device)
        return torch.where(inside & per_image(fits.any(1)), value, images)
