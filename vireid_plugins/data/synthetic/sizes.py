"""How large a synthetic tree of each layout is. Imports only the standard library: command lines list the fields."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class SysuSize:
    """How large a tree is. The real one has 296, 99 and 96 identities and about 20 images a camera.

    Attributes:
        train: identities of train_id.txt.
        val: identities of val_id.txt.
        test: identities of test_id.txt.
        images: images of an identity in a camera.
        height: of an image, pixels.
        width: of an image, pixels.
    """

    train: int = 296
    val: int = 99
    test: int = 96
    images: int = 20
    height: int = 144
    width: int = 64


@dataclass(frozen=True)
class RegdbSize:
    """How large a tree is. The real one has 412 identities, half of them tested, and 10 images a modality.

    Attributes:
        identities: all of them; each split trains on one half.
        images: images of an identity in a modality.
        height: of an image, pixels.
        width: of an image, pixels.
    """

    identities: int = 412
    images: int = 10
    height: int = 128
    width: int = 64


@dataclass(frozen=True)
class LlcmSize:
    """How large a tree is. The real one has 713 and 351 identities, each seen by one or two cameras of a modality.

    Attributes:
        train: training identities.
        test: test identities.
        images: images of an identity in a camera; the real set has 17 visible and 11 infrared ones.
        height: of an image, pixels.
        width: of an image, pixels.
    """

    train: int = 713
    test: int = 351
    images: int = 14
    height: int = 144
    width: int = 64


@dataclass(frozen=True)
class MarketSize:
    """How large a tree is. The real one has 751 training and 750 test identities, seen by two to six cameras.

    Attributes:
        train: training identities.
        test: test identities.
        images: images of an identity in a camera; one of them is a query.
        height: of an image, pixels.
        width: of an image, pixels.
    """

    train: int = 751
    test: int = 750
    images: int = 5
    height: int = 128
    width: int = 64


# By the name of the data set class.
SIZES: dict[str, type[Any]] = {"SYSUMM01": SysuSize, "RegDB": RegdbSize, "LLCM": LlcmSize, "Market1501": MarketSize}
