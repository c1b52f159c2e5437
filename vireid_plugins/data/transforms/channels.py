"""Channel augmentation (Ye et al., "Channel Augmented Joint Learning", ICCV 2021; behaviour of the released code)."""

import numpy as np
from fastreid.config import CfgNode

from vireid_plugins.data.transforms.build import TRANSFORM_REGISTRY, Pixels

# ITU-R BT.601, as PIL's "L" mode.
LUMA = np.array([0.2989, 0.5870, 0.1140], dtype=np.float32)


@TRANSFORM_REGISTRY.register()
class ChannelExchange:
    """Copies one random channel into all three."""

    @classmethod
    def from_config(cls, cfg: CfgNode) -> "ChannelExchange":
        """Build; nothing is configured."""
        return cls()

    def __call__(self, image: Pixels, rng: np.random.Generator) -> Pixels:
        """Return an image of three equal channels."""
        return _repeat(image[..., rng.integers(3)])


@TRANSFORM_REGISTRY.register()
class AdaptiveGray:
    """Draws one of four: 0 to 2 copy that channel into all; 3 makes the image gray with `luma_prob`, else leaves it.

    Args:
        luma_prob: p of the paper (`INPUT.ADAPTIVE_GRAY.LUMA_PROB`).
    """

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
            return _repeat(np.rint(image @ LUMA).astype(np.uint8))
        return image


def _repeat(channel: Pixels) -> Pixels:
    return np.repeat(channel[..., None], 3, axis=-1)
