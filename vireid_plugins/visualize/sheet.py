"""Sheets of photographs: a figure whose coordinates are points from its top left corner."""

from typing import Any

import numpy as np
import numpy.typing as npt

from vireid_plugins.visualize._mpl import matplotlib
from vireid_plugins.visualize.panels import bare_figure
from vireid_plugins.visualize.style import INK, Style

Pixels = npt.NDArray[np.uint8]


class Sheet:
    """An empty sheet; draw on it inside `style.applied()`.

    Args:
        width: in points.
        height: in points.
        style: the look.

    Attributes:
        figure: the `matplotlib.figure.Figure`.
    """

    def __init__(self, width: float, height: float, style: Style) -> None:
        self.style = style
        self.figure = bare_figure(width, height, style)
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set_axis_off()
        self.axes.set_xlim(0, width)
        self.axes.set_ylim(height, 0)

    def photograph(self, pixels: Pixels, left: float, top: float) -> None:
        """Place an image (H, W, 3), one pixel per dot."""
        step = 72 / self.style.dpi
        height, width = pixels.shape[0] * step, pixels.shape[1] * step
        left, top = self.style.snapped(left), self.style.snapped(top)
        extent = (left, left + width, top + height, top)
        self.axes.imshow(pixels, extent=extent, interpolation="none", aspect="auto")

    def frame(self, left: float, top: float, width: float, height: float, color: str, line: float, style: Any) -> None:
        """Draw a frame inside a rectangle.

        Args:
            left: of the rectangle.
            top: of the rectangle.
            width: of the rectangle.
            height: of the rectangle.
            color: of the line.
            line: its width.
            style: its style, as matplotlib takes it.
        """
        corner, half = (left + line / 2, top + line / 2), line
        rectangle = matplotlib("patches").Rectangle(
            corner, width - half, height - half, fill=False, edgecolor=color, linewidth=line, linestyle=style
        )
        self.axes.add_patch(rectangle)

    def badge(self, x: float, y: float, radius: float, color: str, mark: npt.ArrayLike) -> None:
        """Draw a disk with a white mark.

        Args:
            x: of its center.
            y: of its center.
            radius: of the disk.
            color: of the disk.
            mark: lines (n, 2, 2) from end to end in -1..1, y pointing down.
        """
        self.axes.add_patch(matplotlib("patches").Circle((x, y), radius, facecolor=color, edgecolor="white", lw=0.4))
        for ends in np.asarray(mark, float):
            points = np.array([x, y]) + 0.55 * radius * ends
            self.axes.plot(*points.T, color="white", linewidth=0.38 * radius, solid_capstyle="round")

    def text(self, x: float, y: float, words: str, **options: Any) -> None:
        """Write words; `y` is the middle of the line."""
        self.axes.text(x, y, words, **{"color": INK, "va": "center_baseline", **options})
