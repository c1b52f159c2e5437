"""Random rectangles inside an image, as random erasing and RRLE draw them.

Shapes: `B` images, `R` rounds.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from vireid_plugins.data.transforms.build import per_image, uniform
from vireid_plugins.errors import ConfigError

# Top, left, height and width in pixels.
Rectangle = tuple[int, int, int, int]


class Rectangles:
    """A law of rectangles: U(area) of the image, with a random aspect ratio, at a place that is uniform over what fits.

    Args:
        node: of the configuration, for errors.
        area: smallest and largest share of the image (`AREA`).
        aspect: smallest and largest height / width (`ASPECT`).
        logarithm: draw the aspect ratio log-uniformly instead of uniformly.

    Raises:
        ConfigError: a range is empty or not positive, or the area exceeds the image.
    """

    def __init__(self, node: str, area: Sequence[float], aspect: Sequence[float], logarithm: bool) -> None:
        for key, limits in (("AREA", area), ("ASPECT", aspect)):
            if len(limits) != 2 or not 0 < limits[0] <= limits[1]:
                raise ConfigError(
                    f"{node}.{key}: must be the smallest and the largest value, both above 0, got {list(limits)}"
                )
        if area[1] > 1:
            raise ConfigError(f"{node}.AREA: shares of the image must be at most 1, got {list(area)}; 40 % is 0.4")
        self.area, self.logarithm = area, logarithm
        # Range of the uniform draw: of the aspect ratio or its logarithm.
        low, high = np.log(aspect) if logarithm else aspect
        self.aspect = (float(low), float(high))

    def draw(self, height: int, width: int, rng: np.random.Generator) -> Rectangle | None:
        """Draw a rectangle once; None if it does not fit."""
        area = rng.uniform(self.area[0], self.area[1]) * height * width
        drawn = rng.uniform(*self.aspect)
        aspect = np.exp(drawn) if self.logarithm else drawn
        h, w = round(float(np.sqrt(area * aspect))), round(float(np.sqrt(area / aspect)))
        if h < height and w < width:
            return int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1)), h, w
        return None

    def sizes(self, images: Tensor, rng: torch.Generator, rounds: int) -> tuple[Tensor, Tensor, Tensor]:
        """Draw heights and widths (B, R) for images (B, C, H, W), and whether each rectangle fits (B, R)."""
        height, width = images.shape[2:]
        area = uniform(images, rng, self.area[0], self.area[1], rounds) * height * width
        drawn = uniform(images, rng, *self.aspect, rounds)
        aspect = drawn.exp() if self.logarithm else drawn
        h, w = (area * aspect).sqrt().round(), (area / aspect).sqrt().round()
        return h, w, (h < height) & (w < width)


def placed(images: Tensor, h: Tensor, w: Tensor, rng: torch.Generator) -> Tensor:
    """Place rectangles of heights and widths (B,) in images (B, C, H, W): true inside, (B, 1, H, W)."""
    height, width = images.shape[2:]
    h, w = per_image(h), per_image(w)
    top = (per_image(uniform(images, rng)) * (height - h + 1)).floor()
    left = (per_image(uniform(images, rng)) * (width - w + 1)).floor()
    row = torch.arange(height, device=images.device)[:, None]
    column = torch.arange(width, device=images.device)
    return (row >= top) & (row < top + h) & (column >= left) & (column < left + w)
