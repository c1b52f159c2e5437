"""Rank lists: a query and its nearest gallery images.

Right ones are framed green, wrong ones red; those of the query's own camera or place, which the protocol does not let
it see, blue.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image, ImageDraw

from vireid_plugins.data.decode import read_image

RIGHT, WRONG, HIDDEN, QUERY = (40, 160, 60), (210, 50, 50), (60, 110, 210), (60, 60, 60)
FRAME, GAP = 4, 6


@dataclass(frozen=True)
class RankList:
    """A query and its nearest gallery images.

    Attributes:
        query: the image.
        gallery: images from rank 1 on.
        right: for each whether it shows the same identity.
        hidden: for each whether the protocol does not let the query see it; empty is never.
        distances: by `TEST.METRIC`; empty where they do not matter.
        first: rank of the first right image, from 1 on, as the protocol counts it.
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
    def colours(self) -> list[tuple[int, int, int]]:
        """The frame of each gallery image."""
        hidden = self.hidden or [False] * len(self.right)
        return [
            HIDDEN if unseen else RIGHT if right else WRONG for right, unseen in zip(self.right, hidden, strict=True)
        ]


def rank_lists(
    lists: Sequence[RankList], size: tuple[int, int] = (144, 64), frame: tuple[int, int, int] | None = None
) -> Image.Image:
    """Return a picture, one list a row: the query, a gap, then the gallery from rank 1 on.

    Args:
        lists: what to show.
        size: height and width of an image.
        frame: the colour of all frames, where nothing is known to be right or wrong.
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
        frames = [QUERY, *(ranked.colours if frame is None else [frame] * len(ranked.gallery))]
        for column, (path, colour) in enumerate(zip([ranked.query, *ranked.gallery], frames, strict=True)):
            picture = Image.new("RGB", (width, height), colour)
            picture.paste(Image.fromarray(read_image(str(path), size)), (FRAME, FRAME))
            sheet.paste(picture, (_left(column, width), top))
    return sheet


def _left(column: int, width: int) -> int:
    return column * (width + GAP) + (3 * GAP if column else 0)


def picture_of_hits(rows: Sequence[tuple[str, Sequence[str]]]) -> Image.Image:
    """Return a picture of queries and what was found; nothing is known to be right or wrong, so all frames are gray.

    Args:
        rows: pairs of a query and its hits, files.
    """
    lists = [RankList(Path(query), [Path(hit) for hit in hits], []) for query, hits in rows]
    return rank_lists(lists, frame=QUERY)
