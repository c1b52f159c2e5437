"""Random linear enhancement (RLE, NeurIPS 2024, arXiv 2411.01225): MRLE mixes channels, RRLE rescales rectangles.

Both multiply channels of the image before normalization, where black is 0. The laws are those of the public code; the
paper gives a rectangle the width area / aspect, a slip for its square root.

The released RRLE divides by the maximum of a channel in a rectangle. Where it is 0, the factor is infinite and 0 times
it is NaN, which spreads through every later rectangle over most of the image. Here such a channel is left as it is.

Shapes: `B` images, `R` rounds.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from fastreid.config import CfgNode
from torch import Tensor

from vireid_plugins.data.transforms.build import TRANSFORM_REGISTRY
from vireid_plugins.data.transforms.canvas import Pixels
from vireid_plugins.data.transforms.channels import as_type, as_type_batch
from vireid_plugins.data.transforms.rectangles import Rectangle, Rectangles, placed
from vireid_plugins.errors import ConfigError

Numbers = npt.NDArray[np.floating]
# Rounds for an image that never falls below T_MIN, such as a black one.
ROUNDS = 100
# On a device every image takes so many, some under a mask. Of 9,000 images at T_MIN 0.1, also dark ones, none needed
# more than 12.
DEVICE_ROUNDS = 16
# Draws that are 0 to the computer's precision, all three of them, would not have a sum to be divided by.
SMALLEST = float(np.finfo(np.float64).tiny)


def mixed(image: Numbers, factors: npt.ArrayLike) -> Numbers:
    """Return sum_c lambda_c I_c of an image (H, W, 3), for the factors lambda (3,): (H, W)."""
    channel: Numbers = image @ np.asarray(factors, dtype=image.dtype)
    return channel


def mixing_factors(beta: float, rng: np.random.Generator) -> Numbers:
    """Draw lambda (3,): three numbers from Beta(beta, beta), divided by their sum; they are not Beta-distributed."""
    drawn = rng.beta(beta, beta, 3).clip(SMALLEST)
    factors: Numbers = drawn / drawn.sum()
    return factors


def lift(image: Numbers, memory: Numbers, rectangle: Rectangle, brightest: npt.ArrayLike) -> None:
    """Multiply each channel in a rectangle so that its brightest pixel has a given value, in place.

    Args:
        image: (H, W, 3) of floats, 0 is black.
        memory: M (H, W, 3), the product of all factors so far; multiplied alike.
        rectangle: top, left, height and width in pixels.
        brightest: a (3,), the new maximum of each channel in the rectangle. A black channel is left as it is.
    """
    top, left, h, w = rectangle
    part = image[top : top + h, left : left + w]
    if not part.size:
        return
    peak = part.max((0, 1))
    factor = np.divide(np.asarray(brightest, dtype=peak.dtype), peak, out=np.ones_like(peak), where=peak > 0)
    part *= factor
    memory[top : top + h, left : left + w] *= factor


def beta_batch(beta: float, shape: Sequence[int], rng: torch.Generator, device: torch.device) -> Tensor:
    """Draw float32 numbers from Beta(beta, beta) on a device, without reading anything back."""
    # In float64: a draw of Gamma(0.01) is often below what float32 can hold. torch.distributions takes no generator.
    concentration = torch.full((2, *shape), beta, dtype=torch.float64, device=device)
    first, second = torch._standard_gamma(concentration, generator=rng).clamp_min(SMALLEST)
    drawn: Tensor = (first / (first + second)).float()
    return drawn


def _require_beta(key: str, beta: float) -> None:
    if not beta > 0:
        raise ConfigError(f"{key}: must be above 0, got {beta}")


@TRANSFORM_REGISTRY.register()
class MRLE:
    """Moderate random linear enhancement: all three channels become one random mixture of them.

    Gray and a single channel are special cases. An image with three equal channels does not change.

    Args:
        beta: beta_m; the factors are Beta(beta, beta) draws over their sum (`INPUT.MRLE.BETA`).

    Raises:
        ConfigError: beta is not above 0.
    """

    def __init__(self, beta: float) -> None:
        _require_beta("INPUT.MRLE.BETA", beta)
        self.beta = beta

    @classmethod
    def from_config(cls, cfg: CfgNode) -> "MRLE":
        """Build from `INPUT.MRLE`."""
        return cls(cfg.INPUT.MRLE.BETA)

    def __call__(self, image: Pixels, rng: np.random.Generator) -> Pixels:
        """Return an image with three equal channels."""
        channel = as_type(image, mixed(image.astype(np.float32), mixing_factors(self.beta, rng)))
        return np.repeat(channel[..., None], 3, axis=-1)

    def batch(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Return images with three equal channels."""
        drawn = beta_batch(self.beta, (len(images), 3), rng, images.device).clamp_min(torch.finfo(torch.float32).tiny)
        factors = (drawn / drawn.sum(1, keepdim=True))[..., None, None]
        return as_type_batch(images, (images * factors).sum(1, keepdim=True)).expand_as(images)


@TRANSFORM_REGISTRY.register()
class RRLE:
    """Radical random linear enhancement: rescales the channels in random rectangles, each by a factor of its own.

    The factor gives the brightest pixel of the channel in the rectangle a random value. Rectangles may overlap; the
    last one is the first that takes some pixel below T_MIN times what it was. Infrared images become colored.

    Args:
        beta: beta_r; the brightest pixel becomes a Beta(beta, beta) draw of full scale (`INPUT.RRLE.BETA`).
        t_min: see above, between 0 and 1 (`INPUT.RRLE.T_MIN`).
        area: smallest and largest share of the image (`INPUT.RRLE.AREA`).
        aspect: smallest and largest height / width, drawn uniformly (`INPUT.RRLE.ASPECT`).

    Raises:
        ConfigError: a number is out of range.
    """

    def __init__(self, beta: float, t_min: float, area: Sequence[float], aspect: Sequence[float]) -> None:
        _require_beta("INPUT.RRLE.BETA", beta)
        if not 0 < t_min <= 1:
            raise ConfigError(f"INPUT.RRLE.T_MIN: must be above 0 and at most 1, got {t_min}")
        self.beta, self.t_min = beta, t_min
        self.rectangles = Rectangles("INPUT.RRLE", area, aspect, logarithm=False)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> "RRLE":
        """Build from `INPUT.RRLE`."""
        node = cfg.INPUT.RRLE
        return cls(node.BETA, node.T_MIN, node.AREA, node.ASPECT)

    def __call__(self, image: Pixels, rng: np.random.Generator) -> Pixels:
        """Return the image with rescaled rectangles; it is rounded once, after the last."""
        values = image.astype(np.float32) / 255
        self.enhance(values, rng)
        return as_type(image, values * 255)

    def enhance(self, image: Numbers, rng: np.random.Generator) -> int:
        """Rescale rectangles of an image (H, W, 3) in [0, 1], in place, and return their number."""
        memory = np.ones_like(image)
        height, width, _ = image.shape
        count = 0
        for _ in range(ROUNDS):
            rectangle = self.rectangles.draw(height, width, rng)
            if rectangle is None:
                continue
            lift(image, memory, rectangle, rng.beta(self.beta, self.beta, 3))
            count += 1
            if memory.min() < self.t_min:
                break
        return count

    def batch(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Return the images with rescaled rectangles, after `DEVICE_ROUNDS` at most."""
        values = images.float() / 255
        memory = torch.ones_like(values)
        heights, widths, fits = self.rectangles.sizes(images, rng, DEVICE_ROUNDS)
        brightest = beta_batch(self.beta, (DEVICE_ROUNDS, len(images), 3, 1, 1), rng, images.device)
        going = torch.ones_like(fits[:, 0])
        for number, a in enumerate(brightest):
            inside = placed(images, heights[:, number], widths[:, number], rng)
            inside &= (going & fits[:, number]).view(-1, 1, 1, 1)
            peak = torch.where(inside, values, 0).amax((2, 3), keepdim=True)
            factor = torch.where(inside & (peak > 0), a / peak.clamp_min(torch.finfo(torch.float32).tiny), 1)
            values, memory = values * factor, memory * factor
            going &= memory.amin((1, 2, 3)) >= self.t_min
        return as_type_batch(images, values * 255)
