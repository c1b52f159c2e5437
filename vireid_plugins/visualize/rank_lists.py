"""Rank lists: a query and its nearest gallery images.

Correct matches have a green frame and wrong ones a red frame. Blue: images from the query's own camera or location,
which the protocol excludes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image, ImageDraw

from vireid_plugins.data.decode import SEARCH_FORMATS, read_image
from vireid_plugins.data.thermal import DEFAULT, Stretch

RIGHT, WRONG, HIDDEN, QUERY = (40, 160, 60), (210, 50, 50), (60, 110, 210), (60, 60, 60)
FRAME, GAP = 4, 6


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
    """

    query: Path
    gallery: list[Path]
    right: list[bool]
    hidden: list[bool] = field(default_factory=list)
    distances: list[float] = field(default_factory=list)
    first: int = 0
    precision: float = 0.0

    @property
    def colors(self) -> list[tuple[int, int, int]]:
        """The frame color of each gallery image."""
        hidden = self.hidden or [False] * len(self.right)
        return [
            HIDDEN if excluded else RIGHT if right else WRONG
            for right, excluded in zip(self.right, hidden, strict=True)
        ]


def rank_lists(
    lists: Sequence[RankList],
    size: tuple[int, int] = (144, 64),
    frame: tuple[int, int, int] | None = None,
    stretch: Stretch = DEFAULT,
) -> Image.Image:
    """Return a sheet with one list per row: the query, a gap, then the gallery from rank 1.

    Args:
        lists: the rank lists.
        size: height and width of an image.
        frame: color of all frames, if identities are unknown.
        stretch: how images of more than 8 bits are read.
    """
    height, width = size[0] + 2 * FRAME, size[1] + 2 * FRAME
    columns = max(len(row.gallery) for row in lists)
    header = 16
    sheet = Image.new("RGB", ((columns + 1) * (width + GAP) + 3 * GAP, header + len(lists) * (height + GAP)), "white")
    draw = ImageDraw.Draw(sheet)
    for column in range(columns + 1):
        draw.text((_left(column, width), 2), f"rank {column}" if column else "query", fill="black")
    for row, ranked in enumerate(lists):
        top = header + row * (height + GAP)
        frames = [QUERY, *(ranked.colors if frame is None else [frame] * len(ranked.gallery))]
        for column, (path, color) in enumerate(zip([ranked.query, *ranked.gallery], frames, strict=True)):
            picture = Image.new("RGB", (width, height), color)
            pixels = read_image(str(path), size, stretch=stretch, formats=SEARCH_FORMATS)
            picture.paste(Image.fromarray(pixels), (FRAME, FRAME))
            sheet.paste(picture, (_left(column, width), top))
    return sheet


def _left(column: int, width: int) -> int:
    return column * (width + GAP) + (3 * GAP if column else 0)


def picture_of_hits(rows: Sequence[tuple[str, Sequence[str]]], stretch: Stretch = DEFAULT) -> Image.Image:
    """Return a sheet of queries and their hits, with gray frames because identities are unknown.

    Args:
        rows: pairs of a query file and its hits' files.
        stretch: how images of more than 8 bits are read.
    """
    lists = [RankList(Path(query), [Path(hit) for hit in hits], []) for query, hits in rows]
    return rank_lists(lists, frame=QUERY, stretch=stretch)
