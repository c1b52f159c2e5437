"""One image on its way through a view into its row of a batch, with as few passes over its pixels as its steps allow.

Flips and crops only note where the pixels will come from. They are moved once, when a step needs to see them or at the
end, straight into the row of the batch.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

# uint8, or float32 if normalized.
Pixels = npt.NDArray[Any]


class Canvas:
    """An image and where it is to be written.

    Args:
        image: (H, W, 3); never written to.
        out: (H, W, 3) of the same type, filled by `finish`; until then scratch memory.
    """

    def __init__(self, image: Pixels, out: Pixels) -> None:
        self.image, self.out = image, out
        self._top = self._left = 0
        self._padding: int | None = 0
        self._padded = self._mirrored = False

    def mirror(self) -> None:
        """Flip the image horizontally."""
        self._mirrored = not self._mirrored

    def shift(self, top: int, left: int, padding: int | None) -> None:
        """Move the image down and to the right; what gets free is filled.

        Args:
            top: rows, negative for up.
            left: columns, negative for left.
            padding: the value; None for the mirror image at the border, border pixels included.
        """
        if self._padded:
            self.image = self._moved()
        self._padded, self._padding = True, padding
        # As seen before the flip.
        self._top, self._left = top, -left if self._mirrored else left

    def pixels(self) -> Pixels:
        """Return the image as it is now, which the caller must not change."""
        if self._padded or self._mirrored:
            self.image = self._moved()
        return self.image

    def own(self) -> Pixels:
        """Return the image as it is now, in memory that the caller may change."""
        if self.pixels() is not self.out:
            self.out[...] = self.image
            self.image = self.out
        return self.out

    def replace(self, image: Pixels) -> None:
        """Put another image (H, W, 3) of the same type in place of this one."""
        self.image = image

    def finish(self) -> None:
        """Write the image to `out`."""
        if self.pixels() is not self.out:
            self.out[...] = self.image

    def _moved(self) -> Pixels:
        """Write the shifted and flipped image to `out` and return it."""
        image, out = self.image, self.out
        if image is out:
            image = out.copy()
        if self._padded and self._padding is None:
            image = self._mirrored_borders(image)
            self._padded, self._top, self._left = False, 0, 0
        from_rows, rows = _overlap(self._top, out.shape[0])
        from_columns, columns = _overlap(self._left, out.shape[1])
        shown = image[from_rows, from_columns]
        if self._mirrored:
            columns = _overlap(-self._left, out.shape[1])[1]
            # torch flips 12 times as fast as numpy copies an array with a negative stride, but refuses read-only ones.
            shown = torch.from_numpy(np.array(shown)).flip(1).numpy()
        if self._padded:
            out[: rows.start], out[rows.stop :] = self._padding, self._padding
            out[rows, : columns.start], out[rows, columns.stop :] = self._padding, self._padding
        out[rows, columns] = shown
        self._top = self._left = 0
        self._padded = self._mirrored = False
        return out

    def _mirrored_borders(self, image: Pixels) -> Pixels:
        """Return the shifted image, with its mirror image where it is shifted away."""
        height, width, _ = image.shape
        rows, columns = mirrored(np.arange(height) - self._top, height), mirrored(np.arange(width) - self._left, width)
        moved: Pixels = image[rows[:, None], columns]
        return moved


def mirrored(places: npt.NDArray[np.intp], length: int) -> npt.NDArray[np.intp]:
    """Return the places in a side (0 to `length` - 1) that its mirror images show at places beyond it."""
    around = places % (2 * length)
    return np.minimum(around, 2 * length - 1 - around)


def _overlap(offset: int, length: int) -> tuple[slice, slice]:
    """Return what of a side remains when it is shifted, and where it is then."""
    start, stop = min(max(offset, 0), length), max(min(length + offset, length), 0)
    stop = max(start, stop)
    return slice(start - offset, stop - offset), slice(start, stop)
