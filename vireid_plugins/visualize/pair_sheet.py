"""Sheets of Grad-CAM: pairs of images, their heat maps, and a color bar."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from vireid_plugins.errors import ConfigError
from vireid_plugins.visualize._mpl import matplotlib
from vireid_plugins.visualize.grad_cam import PairMaps, Pixels
from vireid_plugins.visualize.panels import shortened
from vireid_plugins.visualize.rank_lists import NARROWEST
from vireid_plugins.visualize.sheet import Sheet
from vireid_plugins.visualize.style import POINTS_PER_CM, POINTS_PER_MM, SMALL, Style

# Its lightness rises all the way, so it reads the same without color vision, and in gray.
COLORS = "plasma"
GAP = 2.5
# The narrowest sheet unless the width is given: its photographs are 14 mm wide.
PHOTOGRAPH_MM = 14.0


def overlay(image: Pixels, heat: npt.NDArray[np.float32], share: float = 0.5) -> Image.Image:
    """Return an image overlaid with its heat map.

    Args:
        image: (H, W, 3) uint8.
        heat: (H, W) in 0..1.
        share: opacity of the heat map, 0..1.
    """
    colors = matplotlib("cm").ScalarMappable(cmap=COLORS)
    colors.set_clim(0, 1)
    painted = colors.to_rgba(heat)[..., :3] * 255
    return Image.fromarray(np.uint8(np.rint((1 - share) * image + share * painted)))


def draw_pairs(pairs: Sequence[PairMaps], style: Style | None = None, names: Sequence[str] = ()) -> Any:
    """Return a matplotlib figure: a pair is a visible and an infrared image, each with its heat map; a color bar.

    Args:
        pairs: the pairs; with several `names`, one per name of each pair of images.
        style: the look.
        names: of the methods, above their pairs.

    Raises:
        ConfigError: the images would be too small to be seen, or do not fit.
    """
    style = style or Style()
    columns = min(style.columns or 1, len(pairs) // max(1, len(names)))
    line, gap = 1.5 * style.font_size, style.snapped(GAP)
    note, label = 4.2 * style.font_size, line if names else 0
    width, height = _size(style, columns, note, pairs[0].visible.shape)
    group = 4 * (width + gap) + 2 * gap + note
    rows = 1 + _place(len(pairs) - 1, columns, max(1, len(names)))[0]
    with style.applied():
        sheet = Sheet(columns * group, line + rows * (label + height + gap) + 3 * line, style)
        for column in range(columns):
            for place, title in ((0, "visible"), (2, "infrared")):
                sheet.text(column * group + place * (width + gap) + 2 * gap * (place > 1), line / 2, title)
        for number, pair in enumerate(pairs):
            row, column = _place(number, columns, max(1, len(names)))
            left, top = column * group, line + row * (label + height + gap) + label
            if names:
                sheet.text(left, top - label / 2, shortened(names[number % len(names)], group - gap, style))
            _pair(sheet, pair, left, top, (width, height))
            words = f"cosine\n{pair.cosine:.2f}"
            sheet.text(left + group - note, top + height / 2, words, fontsize=SMALL * style.font_size, va="center")
        _color_bar(sheet, line + rows * (label + height + gap), min(group - note, 40 * style.font_size), line)
    return sheet.figure


def _place(number: int, columns: int, methods: int) -> tuple[int, int]:
    """Return row and column of a pair; those of the same images are above one another."""
    block, method = divmod(number, methods)
    return block // columns * methods + method, block % columns


def _size(style: Style, columns: int, note: float, shape: Sequence[int]) -> tuple[float, float]:
    """Return the width and height of an image in points."""
    room = (style.points / columns - note - 6 * GAP) / 4 if style.width is not None else float("inf")
    if style.size is not None:
        height, width = (style.snapped(POINTS_PER_MM * side) for side in style.size)
    else:
        width = style.snapped(
            min(room - 72 / style.dpi, PHOTOGRAPH_MM * POINTS_PER_MM if style.width is None else room)
        )
        height = style.snapped(width * shape[0] / shape[1])
    if width < NARROWEST or width > room + 72 / style.dpi:
        raise ConfigError(
            f"--width: in {style.points / POINTS_PER_CM:.1f} cm, images are at most {max(room, 0) / POINTS_PER_MM:.1f} "
            "mm wide; make the figure wider, or set --columns or --size"
        )
    return width, height


def _pair(sheet: Sheet, pair: PairMaps, left: float, top: float, size: tuple[float, float]) -> None:
    pixels = sheet.style.pixels(size[0]), sheet.style.pixels(size[1])
    gap = sheet.style.snapped(GAP)
    for number, (image, heat) in enumerate(
        ((pair.visible, pair.visible_map), (pair.infrared, pair.infrared_map)),
    ):
        for place, picture in enumerate((Image.fromarray(image), overlay(image, heat))):
            resized = np.asarray(picture.resize(pixels, Image.Resampling.BICUBIC))
            column = 2 * number + place
            sheet.photograph(resized, left + column * (size[0] + gap) + 2 * gap * number, top)


def _color_bar(sheet: Sheet, top: float, width: float, line: float) -> None:
    """Draw the scale of heat maps below a sheet: their least and greatest values, since each is scaled by itself."""
    colors = matplotlib("cm").ScalarMappable(cmap=COLORS)
    steps = np.uint8(255 * colors.to_rgba(np.linspace(0, 1, 256)[None])[..., :3])
    height = 0.6 * line
    sheet.axes.imshow(steps, extent=(0, width, top + 0.3 * line + height, top + 0.3 * line), aspect="auto")
    small = {"fontsize": SMALL * sheet.style.font_size}
    sheet.text(0, top + 1.5 * line, "least", **small)
    sheet.text(width, top + 1.5 * line, "most", ha="right", **small)
    sheet.text(width / 2, top + 2.4 * line, "contribution to the cosine, per image", ha="center", **small)
