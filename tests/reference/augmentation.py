"""Augmentation of one image, transform after transform, with a new array for each."""

from typing import Any

import numpy as np
import numpy.typing as npt

from vireid_plugins.data.transforms import Erasing, Flip, PadCrop, View

Pixels = npt.NDArray[Any]


def augmented(view: View, image: Pixels, rng: np.random.Generator) -> Pixels:
    """The image that a view gives."""
    early = len(view.steps) - view.late
    for number, (transform, probability) in enumerate(view.steps):
        if number == early:
            image = (image.astype(np.float32) - view.mean) / view.std
        if probability >= 1 or rng.random() < probability:
            image = transformed(transform, image, rng)
    result: Pixels = image * view.std + view.mean if view.late else image
    return result


def transformed(transform: Any, image: Pixels, rng: np.random.Generator) -> Pixels:
    """What a transform gives; those that only move or fill pixels are written out."""
    if isinstance(transform, Flip):
        return image[:, ::-1]
    if isinstance(transform, PadCrop):
        side, (height, width, _) = transform.size, image.shape
        sides = ((side, side), (side, side), (0, 0))
        constant = {"constant_values": transform.value} if transform.mode == "constant" else {}
        padded: Pixels = np.pad(image, sides, mode=transform.mode, **constant)  # type: ignore[call-overload]
        top, left = rng.integers(0, 2 * side, 2, endpoint=True)
        return padded[top : top + height, left : left + width]
    if isinstance(transform, Erasing):
        rectangle = transform.rectangle(image.shape[0], image.shape[1], rng)
        if rectangle is None:
            return image
        top, left, h, w = rectangle
        erased: Pixels = image.copy()
        fill = np.rint(transform.value) if image.dtype == np.uint8 else transform.value / 255
        if transform.needs_normalized:
            fill = rng.standard_normal((h, w, 3), np.float32)
        erased[top : top + h, left : left + w] = fill
        return erased
    other: Pixels = transform(image, rng)
    return other
