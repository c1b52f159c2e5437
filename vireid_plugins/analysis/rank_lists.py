"""Rank lists: a query and its nearest gallery images, right ones framed green, wrong ones red."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

from vireid_plugins.data.decode import read_image

RIGHT, WRONG, QUERY = (40, 160, 60), (210, 50, 50), (60, 60, 60)
FRAME, GAP = 4, 6


@dataclass(frozen=True)
class RankList:
    """A query, its nearest gallery images, and for each whether it shows the same identity."""

    query: Path
    gallery: list[Path]
    right: list[bool]


def rank_lists(lists: Sequence[RankList], size: tuple[int, int] = (144, 64)) -> Image.Image:
    """Return a picture, one list a row: the query, a gap, then the gallery from rank 1 on.

    Args:
        lists: what to show.
        size: height and width of an image.
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
        frames = [QUERY, *(RIGHT if right else WRONG for right in ranked.right)]
        for column, (path, frame) in enumerate(zip([ranked.query, *ranked.gallery], frames, strict=True)):
            picture = Image.new("RGB", (width, height), frame)
            picture.paste(Image.fromarray(read_image(str(path), size)), (FRAME, FRAME))
            sheet.paste(picture, (_left(column, width), top))
    return sheet


def _left(column: int, width: int) -> int:
    return column * (width + GAP) + (3 * GAP if column else 0)
