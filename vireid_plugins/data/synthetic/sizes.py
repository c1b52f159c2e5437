"""Sizes of synthetic trees. Imports only the standard library, since command lines list the fields."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class SysuSize:
    """Size of a synthetic SYSU-MM01. The real one has 296, 99 and 96 identities and about 20 images per camera.

    Attributes:
        train: identities of train_id.txt.
        val: identities of val_id.txt.
        test: identities of test_id.txt.
        images: images per identity and camera.
        height: image height in pixels.
        width: image width in pixels.
    """

    train: int = 296
    val: int = 99
    test: int = 96
    images: int = 20
    height: int = 144
    width: int = 64


@dataclass(frozen=True)
class RegdbSize:
    """Size of a synthetic RegDB. The real one has 412 identities, half of them for testing, and 10 images per modality.

    Attributes:
        identities: total number; each split trains on half of them.
        images: images per identity and modality.
        height: image height in pixels.
        width: image width in pixels.
    """

    identities: int = 412
    images: int = 10
    height: int = 128
    width: int = 64


@dataclass(frozen=True)
class LlcmSize:
    """Size of a synthetic LLCM. The real one has 713 and 351 identities, each seen by one or two cameras per modality.

    Attributes:
        train: training identities.
        test: test identities.
        images: images per identity and camera; the real set has 17 visible and 11 infrared ones.
        height: image height in pixels.
        width: image width in pixels.
    """

    train: int = 713
    test: int = 351
    images: int = 14
    height: int = 144
    width: int = 64


@dataclass(frozen=True)
class MarketSize:
    """Size of a synthetic Market-1501. The real one has 751 and 750 identities, each seen by two to six cameras.

    Attributes:
        train: training identities.
        test: test identities.
        images: images per identity and camera; one of them is a query.
        height: image height in pixels.
        width: image width in pixels.
    """

    train: int = 751
    test: int = 750
    images: int = 5
    height: int = 128
    width: int = 64


# By data set class.
SIZES: dict[str, type[Any]] = {"SYSUMM01": SysuSize, "RegDB": RegdbSize, "LLCM": LlcmSize, "Market1501": MarketSize}
