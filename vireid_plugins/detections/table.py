"""Boxes in a CSV file with a header.

| column | what |
|---|---|
| `frame` or `image` | number of the frame, or path of the image; one of them, or both |
| `left`, `top` | the upper left corner, in pixels |
| `width`, `height`, or `right`, `bottom` | the size, or the lower right corner |
| `confidence` | may be missing |
| `track` | name or number of the track; empty, -1 or missing: no track |
| `category` | may be missing |

Other columns are ignored.
"""

import csv
from pathlib import Path

from vireid_plugins.detections.boxes import Box, Boxes
from vireid_plugins.detections.numbers import natural, number
from vireid_plugins.errors import DataError

_CORNER, _SIZE, _END = ("left", "top"), ("width", "height"), ("right", "bottom")


def read_table(file: Path, text: str) -> Boxes:
    """Return the boxes of a table.

    Args:
        file: the file that it is from, for messages.
        text: its content.

    Raises:
        DataError: the header lacks a column, or a line is malformed; the message names file and line.
    """
    lines = csv.reader(text.splitlines(keepends=True), strict=True)
    boxes: list[Box] = []
    header: list[str] = []
    try:
        for row in lines:
            if not any(cell.strip() for cell in row):
                continue
            if not header:
                header = [cell.strip().lower() for cell in row]
                _require(header)
                continue
            if len(row) != len(header):
                raise ValueError(f"it has {len(row)} values, and the header names {len(header)}")
            values = dict(zip(header, (cell.strip() for cell in row), strict=True))
            boxes.append(_box(f"{file}:{lines.line_num}", values))
    except (ValueError, csv.Error) as error:
        raise DataError(f"'{file}:{lines.line_num}': {error}") from None
    return Boxes(file, boxes, {box.category for box in boxes if box.category})


def _require(header: list[str]) -> None:
    """Raise a `ValueError` for a header without the columns that are needed."""
    for name in header:
        if name and header.count(name) > 1:
            raise ValueError(f"the header names '{name}' twice")
    complete = all(name in header for name in _CORNER) and any(
        all(name in header for name in pair) for pair in (_SIZE, _END)
    )
    if not complete or not {"frame", "image"} & set(header):
        raise ValueError(
            "a table of boxes needs a header with frame or image, with left and top, and with width and height or "
            f"right and bottom; this one has {', '.join(header)}. MOT's text has no header and begins with a number"
        )


def _box(origin: str, values: dict[str, str]) -> Box:
    left, top = (number(values[name], name) for name in _CORNER)
    if "width" in values and "height" in values:
        width, height = (number(values[name], name) for name in _SIZE)
    else:
        width, height = number(values["right"], "right") - left, number(values["bottom"], "bottom") - top
    frame = natural(values["frame"], "the frame") if values.get("frame") else None
    image = values.get("image", "")
    if frame is None and not image:
        raise ValueError("it names no frame and no image")
    confidence = number(values["confidence"], "the confidence") if values.get("confidence") else None
    track = values.get("track", "")
    return Box(
        *(origin, left, top, width, height, frame, image, confidence),
        track="" if track == "-1" else track,
        category=values.get("category", ""),
    )
