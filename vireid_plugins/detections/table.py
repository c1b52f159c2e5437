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

from pathlib import Path

from vireid_plugins.detections.boxes import Box, Boxes
from vireid_plugins.detections.numbers import natural, number
from vireid_plugins.errors import DataError
from vireid_plugins.io.csv_table import CsvTable

_CORNER, _SIZE, _END = ("left", "top"), ("width", "height"), ("right", "bottom")


def read_table(file: Path, text: str) -> Boxes:
    """Return the boxes of a table.

    Args:
        file: the file that it is from, for messages.
        text: its content.

    Raises:
        DataError: the header lacks a column, or a line is malformed; the message names file and line.
    """
    table = CsvTable(file, text, lower=True)
    boxes: list[Box] = []
    try:
        _require(table.header)
        for row in table:
            boxes.append(_box(table.where.strip("'"), row))
    except ValueError as error:
        raise DataError(f"{table.where}: {error}") from None
    return Boxes(file, boxes, {box.category for box in boxes if box.category})


def _require(header: list[str]) -> None:
    """Raise a `ValueError` for a header without the columns that are needed."""
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
