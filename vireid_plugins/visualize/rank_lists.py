"""Rank lists: a query and its nearest gallery images.

Correct matches have a blue frame and a tick, wrong ones an orange frame and a cross. A dashed gray frame around a pale
image: from the query's own camera or location, which the protocol excludes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vireid_plugins.data.decode import SEARCH_FORMATS, read_image
from vireid_plugins.data.thermal import DEFAULT, Stretch
from vireid_plugins.errors import ConfigError
from vireid_plugins.visualize.panels import shortened
from vireid_plugins.visualize.sheet import Pixels, Sheet
from vireid_plugins.visualize.style import BLUE, GRAY, INK, ORANGE, PAGE_CM, POINTS_PER_CM, POINTS_PER_MM, Style

TICK = [[[-0.9, 0.0], [-0.25, 0.65]], [[-0.25, 0.65], [0.9, -0.65]]]
CROSS = [[[-0.65, -0.65], [0.65, 0.65]], [[-0.65, 0.65], [0.65, -0.65]]]
# The least width of a photograph, in points.
NARROWEST = 10


class Mark(NamedTuple):
    """How an image is marked: color and style of its frame, and lines on its badge, if any."""

    color: str
    line: Any = "-"
    badge: Any = None


RIGHT, WRONG = Mark(BLUE, "-", TICK), Mark(ORANGE, "-", CROSS)
HIDDEN, QUERY = Mark(GRAY, (0, (2.2, 1.4))), Mark(INK)


@dataclass(frozen=True)
class RankList:
    """A query and its nearest gallery images.

    Attributes:
        query: the query image.
        gallery: gallery images, from rank 1.
        right: for each, whether it shows the same identity.
        hidden: for each, whether the protocol excludes it for this query; empty if none is excluded.
        distances: distances under `TEST.METRIC`; empty if not shown.
        first: rank of the first correct match under the protocol, counted from 1.
        precision: average precision of the query, 0..1.
        captions: what is written below each gallery image; empty: nothing.
    """

    query: Path
    gallery: list[Path]
    right: list[bool]
    hidden: list[bool] = field(default_factory=list)
    distances: list[float] = field(default_factory=list)
    first: int = 0
    precision: float = 0.0
    captions: list[str] = field(default_factory=list)

    @property
    def marks(self) -> list[Mark]:
        """The mark of each gallery image."""
        hidden = self.hidden or [False] * len(self.right)
        return [
            HIDDEN if excluded else RIGHT if right else WRONG
            for right, excluded in zip(self.right, hidden, strict=True)
        ]


class Layout(NamedTuple):
    """Lengths of a sheet of rank lists, in points; a block is a query with a list per method."""

    width: float
    height: float
    gap: float
    columns: int
    top: int
    methods: int
    header: float
    label: float
    caption: float

    @property
    def list_width(self) -> float:
        """Width of a list: the query, a wider gap, the gallery."""
        return (self.top + 1) * (self.width + self.gap) + 2 * self.gap

    @property
    def block_height(self) -> float:
        """Height of a block."""
        return self.methods * self.step + self.margin

    @property
    def step(self) -> float:
        """From the top of a list to that of the next one below it."""
        return self.height + self.caption + self.gap + self.label

    @property
    def margin(self) -> float:
        """What sets blocks of several methods apart."""
        return 2 * self.gap if self.methods > 1 else 0

    def left(self, column: int, place: int) -> float:
        """Return where an image begins: `place` 0 is the query, then the rank positions."""
        return (
            column * (self.list_width + 3 * self.gap) + place * (self.width + self.gap) + (2 * self.gap) * (place > 0)
        )


def rank_lists(
    lists: Sequence[RankList],
    size: tuple[float, float] | None = None,
    frame: Mark | None = None,
    stretch: Stretch = DEFAULT,
    style: Style | None = None,
    names: Sequence[str] = (),
) -> Any:
    """Return a matplotlib figure of rank lists, each a row: the query, a gap, then the gallery from rank 1.

    Args:
        lists: the rank lists; with several `names`, one per name of each query, and the query is shown once.
        size: height and width of an image in mm, over that of the style.
        frame: mark of all images, if identities are unknown.
        stretch: how images of more than 8 bits are read.
        style: the look.
        names: of the methods, above their rows.

    Raises:
        ConfigError: the images would be too small to be seen, or do not fit.
        DataError: an image cannot be read.
    """
    style = style or Style(size=size)
    captions = any(row.captions for row in lists)
    layout = _layout(style, max(len(row.gallery) for row in lists), size or style.size, names, captions)
    methods, columns = layout.methods, min(layout.columns, len(lists) // layout.methods)
    layout = layout._replace(columns=columns)
    blocks = [lists[start : start + methods] for start in range(0, len(lists), methods)]
    rows = -(-len(blocks) // columns)
    width = columns * layout.list_width + (columns - 1) * 3 * layout.gap
    with style.applied():
        sheet = Sheet(width, layout.header + rows * layout.block_height - layout.margin, style)
        for column in range(columns):
            _header(sheet, layout, column)
        for number, block in enumerate(blocks):
            top = layout.header + number // columns * layout.block_height
            _block(sheet, layout, number % columns, top, block, frame, stretch, names)
    return sheet.figure


def _layout(style: Style, top: int, size: tuple[float, float] | None, names: Sequence[str], captions: bool) -> Layout:
    gap, columns = style.snapped(2.5), style.columns or 1
    whole = PAGE_CM * POINTS_PER_CM if style.width is None else style.points
    room = ((whole - (columns - 1) * 3 * gap) / columns - 2 * gap) / (top + 1) - gap
    if size is None:
        width = int(room * style.dpi / 72) * 72 / style.dpi
        height = 2 * width
    else:
        height, width = (style.snapped(POINTS_PER_MM * side) for side in size)
    if width < NARROWEST or (style.width is not None and width > room + 72 / style.dpi):
        raise ConfigError(
            f"--width: in {whole / POINTS_PER_CM:.1f} cm, {columns} x {top + 1} images are at most "
            f"{max(room, 0) / POINTS_PER_MM:.1f} mm wide; make the figure wider, or set --top-k, --columns or --size"
        )
    line = style.snapped(1.5 * style.font_size)
    label, caption = line if names else 0, line if captions else 0
    return Layout(width, height, gap, columns, top, max(1, len(names)), line, label, caption)


def _header(sheet: Sheet, layout: Layout, column: int) -> None:
    middle, size = layout.header / 2, sheet.style.font_size
    sheet.text(layout.left(column, 0), middle, "query")
    word = "rank " if layout.width > 4 * size else ""
    for place in range(1, layout.top + 1):
        sheet.text(layout.left(column, place) + layout.width / 2, middle, f"{word}{place}", ha="center")


def _block(
    sheet: Sheet,
    layout: Layout,
    column: int,
    top: float,
    block: Sequence[RankList],
    frame: Mark | None,
    stretch: Stretch,
    names: Sequence[str],
) -> None:
    """Draw a query, and below one another what each method finds for it."""
    middle = top + layout.label + (layout.methods - 1) * layout.step / 2
    _image(sheet, layout, block[0].query, layout.left(column, 0), middle, QUERY, stretch)
    for number, ranked in enumerate(block):
        upper = top + number * layout.step
        if names:
            name = shortened(names[number], layout.list_width - layout.width - 3 * layout.gap, sheet.style)
            sheet.text(layout.left(column, 1), upper + layout.label / 2, name)
        marks = ranked.marks if frame is None else [frame] * len(ranked.gallery)
        for place, (path, mark) in enumerate(zip(ranked.gallery, marks, strict=True), start=1):
            _image(sheet, layout, path, layout.left(column, place), upper + layout.label, mark, stretch)
        under = upper + layout.label + layout.height + layout.caption / 2
        for place, words in enumerate(ranked.captions, start=1):
            sheet.text(layout.left(column, place) + layout.width / 2, under, words, ha="center")


def _image(sheet: Sheet, layout: Layout, path: Path, left: float, top: float, mark: Mark, stretch: Stretch) -> None:
    pixels = sheet.style.pixels(layout.height), sheet.style.pixels(layout.width)
    photograph: Pixels = read_image(str(path), pixels, stretch=stretch, formats=SEARCH_FORMATS)
    if mark is HIDDEN:
        photograph = np.uint8(255 - (255 - photograph.astype(int)) * 0.45)
    sheet.photograph(photograph, left, top)
    line = min(2.2, max(0.9, 0.05 * layout.width))
    if mark is HIDDEN:
        # White below the dashes, so that they are seen on any image.
        sheet.frame(left, top, layout.width, layout.height, "white", line, "-")
    sheet.frame(left, top, layout.width, layout.height, mark.color, line, mark.line)
    if mark.badge is not None:
        radius = min(8.0, max(3.2, 0.13 * layout.width))
        edge = radius + line
        sheet.badge(left + layout.width - edge, top + layout.height - edge, radius, mark.color, mark.badge)


# Of pictures that are looked at on a screen.
SCREEN = Style(dpi=100, size=(36.0, 16.0))


def picture_of_hits(rows: Sequence[tuple[str, Sequence[tuple[str, float]]]], stretch: Stretch = DEFAULT) -> Any:
    """Return a figure of queries and their hits with cosines, with gray frames because identities are unknown.

    Args:
        rows: pairs of a query file and its hits, each a file and its cosine.
        stretch: how images of more than 8 bits are read.
    """
    lists = [
        RankList(Path(query), [Path(hit) for hit, _ in hits], [], captions=[f"{cosine:.3f}" for _, cosine in hits])
        for query, hits in rows
    ]
    return rank_lists(lists, frame=QUERY, stretch=stretch, style=SCREEN)
