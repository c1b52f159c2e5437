"""`crops.csv`: a line for each crop of a folder, with where it is from.

| column | what |
|---|---|
| `file` | name of the crop in the folder |
| `source` | path of the video or image; bytes of it that are no UTF-8 are written like `\\udcff` |
| `frame` | number of the frame |
| `time` | seconds since the first frame, or since 1970 (UTC) if the start was given; empty if there is none |
| `camera` | name of the camera; empty if none was given |
| `track` | name of the track, which begins with that of the source; empty if there is none |
| `left`, `top`, `width`, `height` | the box as it was found, in pixels of the upright frame |
| `confidence` | of the detector; empty if it gave none |
| `quality` | 0..1, see `vireid_plugins.detections.quality` |
"""

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from vireid_plugins.detections.numbers import number, whole
from vireid_plugins.errors import DataError
from vireid_plugins.io.regular import read_text

NAME = "crops.csv"
# Lines of ten million crops.
_LIMIT = 4 * 2**30


class Crop(NamedTuple):
    """A line of the sidecar; see the module."""

    file: str
    source: str
    frame: int
    time: float | None
    camera: str
    track: str
    left: float
    top: float
    width: float
    height: float
    confidence: float | None
    quality: float


def sidecar_text(crops: Iterable[Crop]) -> bytes:
    """Return the content of a sidecar."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(Crop._fields)
    lines.writerows(["" if value is None else value for value in crop] for crop in crops)
    return text.getvalue().encode("utf-8", "backslashreplace")


def read_crops(folder: Path) -> list[Crop]:
    """Return the crops of a folder.

    Raises:
        DataError: it has no sidecar, or one that is damaged; the message names the line.
    """
    file = folder / NAME
    try:
        lines = csv.reader(io.StringIO(read_text(file, _LIMIT), newline=""), strict=True)
        if next(lines, []) != list(Crop._fields):
            raise ValueError("it does not begin with the columns of a sidecar of crops")
    except OSError as error:
        raise DataError(f"'{file}' cannot be read: {error.strerror or error}") from None
    except (ValueError, csv.Error) as error:
        raise DataError(f"'{file}' is no list of crops: {error}") from None
    try:
        return [_crop(row) for row in lines]
    except (ValueError, csv.Error) as error:
        raise DataError(f"'{file}:{lines.line_num}': {error}") from None


def _crop(row: list[str]) -> Crop:
    if len(row) != len(Crop._fields):
        raise ValueError(f"it has {len(row)} values instead of {len(Crop._fields)}")
    named = dict(zip(Crop._fields, row, strict=True))

    def maybe(name: str) -> float | None:
        return number(named[name], name) if named[name] else None

    left, top, width, height = (number(named[name], name) for name in ("left", "top", "width", "height"))
    frame, quality = whole(named["frame"], "frame"), number(named["quality"], "quality")
    file, source, camera, track = (named[name] for name in ("file", "source", "camera", "track"))
    box = (left, top, width, height)
    return Crop(file, source, frame, maybe("time"), camera, track, *box, maybe("confidence"), quality)
