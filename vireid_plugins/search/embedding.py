"""Features of found images, batch by batch; what cannot be read is passed over and named."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vireid_plugins.errors import DataError
from vireid_plugins.search.engines.base import Vectors
from vireid_plugins.search.extractor import Extractor
from vireid_plugins.search.images import Found, Unread
from vireid_plugins.search.modality import Teller


class Embedded(NamedTuple):
    """Images of a batch: for each its modality with the certainty of that, and a row of the vectors (n, D)."""

    images: list[Found]
    guesses: list[tuple[int, float]]
    vectors: Vectors


def embedded(
    extractor: Extractor,
    images: Sequence[Found],
    tell: Teller,
    unread: list[Unread],
    report: Callable[[int, int], Any] | None = None,
) -> Iterator[Embedded]:
    """Yield the images with their vectors; images that cannot be read are added to `unread`.

    Args:
        extractor: makes the vectors.
        images: the images.
        tell: tells the modality of each.
        unread: gets what cannot be read.
        report: called with the number of processed images and of all images.
    """
    for start in range(0, len(images), extractor.batch):
        chunk = images[start : start + extractor.batch]
        read: list[Found] = []
        pixels: list[npt.NDArray[np.uint8]] = []
        for image in chunk:
            try:
                pixels.append(extractor.pixels(image.file))
                read.append(image)
            except DataError as error:
                reason = str(error.args[0]).removeprefix(f"image '{image.file}' cannot be read: ")
                unread.append(Unread(image.file, image.path, reason))
        if read:
            guesses = [tell(image.file, picture) for image, picture in zip(read, pixels, strict=True)]
            yield Embedded(read, guesses, extractor.features(pixels, [modality for modality, _ in guesses]))
        if report is not None:
            report(start + len(chunk), len(images))


def not_read(unread: Sequence[Unread], shown: int = 5) -> str:
    """Return a message that names what could not be read."""
    more = f"; and {len(unread) - shown} more" if len(unread) > shown else ""
    return "not read: " + "; ".join(str(one) for one in unread[:shown]) + more
