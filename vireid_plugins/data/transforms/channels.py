"""Channel augmentation (Ye et al., "Channel Augmented Joint Learning", ICCV 2021; behavior of the released code)."""

from typing import ClassVar

import numpy as np
import torch
from fastreid.config import CfgNode
from torch import Tensor

from vireid_plugins.data.transforms.build import TRANSFORM_REGISTRY, per_image, uniform
from vireid_plugins.data.transforms.canvas import Pixels

# ITU-R BT.601, as in Pillow's "L" mode.
LUMA = np.array([0.2989, 0.5870, 0.1140], dtype=np.float32)


class Unconfigured:
    """A transform without configuration keys."""

    @classmethod
    def from_config(cls, cfg: CfgNode) -> "Unconfigured":
        """Build the transform."""
        return cls()


@TRANSFORM_REGISTRY.register()
class ChannelExchange(Unconfigured):
    """Copies a random channel into all three."""

    after_norm: ClassVar[bool] = True

    def __call__(self, image: Pixels, rng: np.random.Generator) -> Pixels:
        """Return an image with three equal channels."""
        return _repeat(image[..., rng.integers(3)])

    def batch(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Return images with three equal channels."""
        return _channel(images, (3 * uniform(images, rng)).long())


@TRANSFORM_REGISTRY.register()
class AdaptiveGray:
    """Draws one of four cases: 0 to 2 copy that channel into all; 3 turns the image gray with probability `luma_prob`.

    Args:
        luma_prob: p in the paper (`INPUT.ADAPTIVE_GRAY.LUMA_PROB`).
    """

    after_norm: ClassVar[bool] = True

    def __init__(self, luma_prob: float = 0.5) -> None:
        self.luma_prob = luma_prob

    @classmethod
    def from_config(cls, cfg: CfgNode) -> "AdaptiveGray":
        """Build from `INPUT.ADAPTIVE_GRAY`."""
        return cls(cfg.INPUT.ADAPTIVE_GRAY.LUMA_PROB)

    def __call__(self, image: Pixels, rng: np.random.Generator) -> Pixels:
        """Return the image of the drawn case."""
        case = rng.integers(4)
        if case < 3:
            return _repeat(image[..., case])
        if rng.random() < self.luma_prob:
            return gray(image)
        return image

    def batch(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Return the images of the drawn cases."""
        case = (4 * uniform(images, rng)).long()
        luma = torch.where(per_image(uniform(images, rng) < self.luma_prob), gray_batch(images), images)
        return torch.where(per_image(case < 3), _channel(images, case.clamp_max(2)), luma)


@TRANSFORM_REGISTRY.register()
class SecondChannelOrGray(Unconfigured):
    """Copies channel 1 into all with probability 0.5, else turns the image gray with 0.5 (MSCMNet's view I1)."""

    after_norm: ClassVar[bool] = True

    def __call__(self, image: Pixels, rng: np.random.Generator) -> Pixels:
        """Return the image of the drawn case."""
        if rng.random() < 0.5:
            return _repeat(image[..., 1])
        return gray(image) if rng.random() < 0.5 else image

    def batch(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Return the images of the drawn cases."""
        second, luma = (per_image(uniform(images, rng) < 0.5) for _ in range(2))
        return torch.where(second, images[:, 1:2], torch.where(luma, gray_batch(images), images))


@TRANSFORM_REGISTRY.register()
class ChannelScale(Unconfigured):
    """Multiplies each channel by a number drawn from U(0.02, 1) (MSCMNet's view I2)."""

    after_norm: ClassVar[bool] = True

    def __call__(self, image: Pixels, rng: np.random.Generator) -> Pixels:
        """Return the scaled image."""
        return as_type(image, image * rng.uniform(0.02, 1, 3).astype(np.float32))

    def batch(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Return the scaled images."""
        return as_type_batch(images, images * uniform(images, rng, 0.02, 1, draws=3)[..., None, None])


@TRANSFORM_REGISTRY.register()
class Gray(Unconfigured):
    """Turns the image gray (its luma)."""

    def __call__(self, image: Pixels, rng: np.random.Generator) -> Pixels:
        """Return an image with three equal channels."""
        return gray(image)

    def batch(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Return images with three equal channels."""
        return gray_batch(images)


@TRANSFORM_REGISTRY.register()
class Brightness:
    """Multiplies the image by a random factor around 1.

    Args:
        jitter: the factor is drawn from U(1 - jitter, 1 + jitter) (`INPUT.BRIGHTNESS`).
    """

    def __init__(self, jitter: float = 0.5) -> None:
        self.jitter = jitter

    @classmethod
    def from_config(cls, cfg: CfgNode) -> "Brightness":
        """Build from `INPUT.BRIGHTNESS`."""
        return cls(cfg.INPUT.BRIGHTNESS)

    def __call__(self, image: Pixels, rng: np.random.Generator) -> Pixels:
        """Return the brighter or darker image."""
        return as_type(image, image * np.float32(rng.uniform(1 - self.jitter, 1 + self.jitter)))

    def batch(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Return the brighter or darker images."""
        return as_type_batch(images, images * per_image(uniform(images, rng, 1 - self.jitter, 1 + self.jitter)))


def gray(image: Pixels) -> Pixels:
    """Return the luma in all three channels."""
    return _repeat(as_type(image, image @ LUMA))


def as_type(image: Pixels, values: Pixels) -> Pixels:
    """Convert values to the type of `image`."""
    if image.dtype == np.uint8:
        return np.rint(values).clip(0, 255).astype(np.uint8)
    return values.astype(image.dtype)


def _repeat(channel: Pixels) -> Pixels:
    return np.repeat(channel[..., None], 3, axis=-1)


def gray_batch(images: Tensor) -> Tensor:
    """Return the luma of (B, 3, H, W) in all three channels."""
    luma = torch.from_numpy(LUMA).to(images.device, non_blocking=True).view(-1, 1, 1)
    return as_type_batch(images, (images * luma).sum(1, keepdim=True)).expand_as(images)


def as_type_batch(images: Tensor, values: Tensor) -> Tensor:
    """Convert values to the type of `images`."""
    return values.round().clamp(0, 255).to(torch.uint8) if images.dtype == torch.uint8 else values.to(images.dtype)


def _channel(images: Tensor, number: Tensor) -> Tensor:
    """Copy channel `number` (B,) of each image into all three."""
    one = images.gather(1, per_image(number).expand(-1, 1, *images.shape[2:]))
    return one.expand_as(images)
