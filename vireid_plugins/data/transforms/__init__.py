"""Training augmentation. Importing this package registers the transforms."""

from vireid_plugins.data.transforms.build import TRANSFORM_REGISTRY, Transform, View, build_view
from vireid_plugins.data.transforms.channels import (
    AdaptiveGray,
    Brightness,
    ChannelExchange,
    ChannelScale,
    Gray,
    SecondChannelOrGray,
)
from vireid_plugins.data.transforms.erasing import Erasing
from vireid_plugins.data.transforms.geometric import Flip, PadCrop
from vireid_plugins.data.transforms.jitter import ColorJitter
from vireid_plugins.data.transforms.linear import MRLE, RRLE
from vireid_plugins.data.transforms.on_device import BatchAugmentation
from vireid_plugins.data.transforms.photometric import BrightnessContrast, GaussianBlur, Luma

__all__ = [
    "MRLE",
    "RRLE",
    "TRANSFORM_REGISTRY",
    "AdaptiveGray",
    "BatchAugmentation",
    "Brightness",
    "BrightnessContrast",
    "ChannelExchange",
    "ChannelScale",
    "ColorJitter",
    "Erasing",
    "Flip",
    "GaussianBlur",
    "Gray",
    "Luma",
    "PadCrop",
    "SecondChannelOrGray",
    "Transform",
    "View",
    "build_view",
]
