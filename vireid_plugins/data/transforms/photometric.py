"""Changes of brightness, contrast and sharpness, as Pillow and torchvision make them (PMT's augmentation)."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from fastreid.config import CfgNode
from PIL import Image, ImageEnhance
from torch import Tensor

from vireid_plugins.data.transforms.build import TRANSFORM_REGISTRY, per_image, uniform
from vireid_plugins.data.transforms.canvas import Pixels
from vireid_plugins.errors import ConfigError

# Pillow's weights of red, green and blue, of 65,536.
LUMA = (19595, 38470, 7471)


@TRANSFORM_REGISTRY.register()
class Luma:
    """Turns the image gray as Pillow's mode "L" does; Gray rounds other weights and differs by 1 in some pixels."""

    @classmethod
    def from_config(cls, cfg: CfgNode) -> "Luma":
        """Build the transform."""
        return cls()

    def __call__(self, image: Pixels, rng: np.random.Generator) -> Pixels:
        """Return an image with three equal channels."""
        return np.repeat(np.asarray(Image.fromarray(image).convert("L"))[..., None], 3, axis=-1)

    def batch(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Return images with three equal channels."""
        return luma(images).to(images.dtype).expand_as(images)


def brightness(image: Pixels, factor: float) -> Pixels:
    """Return an image (H, W, 3) of uint8 with its brightness multiplied."""
    return np.asarray(ImageEnhance.Brightness(Image.fromarray(image)).enhance(factor))


def contrast(image: Pixels, factor: float) -> Pixels:
    """Return an image (H, W, 3) of uint8 with its differences from its mean gray multiplied."""
    return np.asarray(ImageEnhance.Contrast(Image.fromarray(image)).enhance(factor))


@TRANSFORM_REGISTRY.register()
class BrightnessContrast:
    """Multiplies brightness and contrast by random factors around 1, in random order.

    Args:
        jitter: the factors are drawn from U(1 - jitter, 1 + jitter) (`INPUT.JITTER`).

    Raises:
        ConfigError: the jitter is not between 0 and 1.
    """

    def __init__(self, jitter: float = 0.3) -> None:
        if not 0 <= jitter <= 1:
            raise ConfigError(f"INPUT.JITTER: must be from 0 to 1, got {jitter}")
        self.jitter = jitter

    @classmethod
    def from_config(cls, cfg: CfgNode) -> "BrightnessContrast":
        """Build from `INPUT.JITTER`."""
        return cls(cfg.INPUT.JITTER)

    def __call__(self, image: Pixels, rng: np.random.Generator) -> Pixels:
        """Return the changed image."""
        steps = [brightness, contrast] if rng.random() < 0.5 else [contrast, brightness]
        for step in steps:
            image = step(image, float(rng.uniform(1 - self.jitter, 1 + self.jitter)))
        return image

    def batch(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Return the changed images."""
        brighter, sharper = (per_image(uniform(images, rng, 1 - self.jitter, 1 + self.jitter)) for _ in range(2))
        first = contrast_batch(scaled(images * brighter), sharper)
        second = scaled(contrast_batch(images, sharper) * brighter)
        return torch.where(per_image(uniform(images, rng) < 0.5), first, second).to(images.dtype)


def contrast_batch(images: Tensor, factor: Tensor) -> Tensor:
    """Return images (B, 3, H, W) with their differences from their mean gray multiplied by factors (B, 1, 1, 1)."""
    mean = (luma(images).float().mean((1, 2, 3), keepdim=True) + 0.5).floor()
    return scaled(mean + factor * (images.float() - mean))


def scaled(values: Tensor) -> Tensor:
    """Return values as Pillow stores them, cut off and not rounded."""
    return values.clamp(0, 255).floor()


def luma(images: Tensor) -> Tensor:
    """Return the luma (B, 1, H, W), whole numbers."""
    red, green, blue = images.to(torch.int32).split(1, dim=1)
    gray: Tensor = (LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue + 0x8000) >> 16
    return gray


def gaussian_kernel(size: int, sigma: Tensor) -> Tensor:
    """Return normalized weights (n, size) of normal distributions with these deviations (n,)."""
    half = (size - 1) / 2
    place = torch.linspace(-half, half, size, dtype=sigma.dtype, device=sigma.device)
    weights = torch.exp(-0.5 * (place / sigma[:, None]).square())
    return weights / weights.sum(1, keepdim=True)


def gaussian_blur(image: Pixels, size: int, sigma: float) -> Pixels:
    """Return a blurred image (H, W, 3) of uint8; its borders are reflected, as torchvision's are.

    Args:
        image: (H, W, 3) of uint8, larger than half the kernel.
        size: side of the kernel, odd.
        sigma: standard deviation in pixels.
    """
    kernel = gaussian_kernel(size, torch.tensor([sigma]))[0]
    # Weights that are 0 at both ends: what they are multiplied with does not count.
    used = int((kernel > 0).sum()) // 2
    kernel = kernel[size // 2 - used : size // 2 + used + 1]
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float()
    padded = F.pad(pixels, [used] * 4, mode="reflect")
    plane = torch.outer(kernel, kernel).expand(3, 1, -1, -1)
    blurred = F.conv2d(padded, plane, groups=3)[0].round().clamp(0, 255).to(torch.uint8)
    return blurred.permute(1, 2, 0).numpy()


@TRANSFORM_REGISTRY.register()
class GaussianBlur:
    """Blurs the image with a random standard deviation.

    Args:
        size: side of the kernel in pixels (`INPUT.BLUR.SIZE`).
        sigma: smallest and largest standard deviation in pixels (`INPUT.BLUR.SIGMA`).

    Raises:
        ConfigError: the size is even, or the range is empty or not positive.
    """

    def __init__(self, size: int = 21, sigma: Sequence[float] = (0.1, 3.0)) -> None:
        if size < 1 or size % 2 == 0:
            raise ConfigError(f"INPUT.BLUR.SIZE: must be an odd number of at least 1, got {size}")
        if len(sigma) != 2 or not 0 < sigma[0] <= sigma[1]:
            raise ConfigError(
                f"INPUT.BLUR.SIGMA: must be the smallest and the largest value, both above 0, got {list(sigma)}"
            )
        self.size, self.sigma = size, (float(sigma[0]), float(sigma[1]))

    @classmethod
    def from_config(cls, cfg: CfgNode) -> "GaussianBlur":
        """Build from `INPUT.BLUR`."""
        return cls(cfg.INPUT.BLUR.SIZE, cfg.INPUT.BLUR.SIGMA)

    def __call__(self, image: npt.NDArray[np.uint8], rng: np.random.Generator) -> Pixels:
        """Return the blurred image."""
        return gaussian_blur(image, self.size, float(rng.uniform(*self.sigma)))

    def batch(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Return the blurred images."""
        count, channels, height, width = images.shape
        kernels = gaussian_kernel(self.size, uniform(images, rng, *self.sigma)).repeat_interleave(channels, 0)
        pixels = F.pad(images.float(), [self.size // 2] * 4, mode="reflect").flatten(0, 1)[None]
        for kernel in (kernels[:, None, :, None], kernels[:, None, None, :]):
            pixels = F.conv2d(pixels, kernel, groups=count * channels)
        blurred = pixels.view(count, channels, height, width)
        return blurred.round().clamp(0, 255).to(torch.uint8) if images.dtype == torch.uint8 else blurred
