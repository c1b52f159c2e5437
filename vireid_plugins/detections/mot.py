"""Boxes in the text format of MOTChallenge: `frame,id,left,top,width,height,confidence,...`.

Source: https://motchallenge.net/instructions. Detectors and trackers of every kind write it. An id of -1 is a box
without a track. A line of exactly nine values is one of MOT16's and later ground truth: its seventh value is 0
for boxes that are not to be considered, and the eighth is the class. In lines of ten values, the last three are
a position in the world or -1. MOTChallenge's own files count pixels from 1 and those of most programs from 0;
coordinates are taken as they are.
"""

from collections import Counter
from pathlib import Path

from vireid_plugins.detections.boxes import Box, Boxes
from vireid_plugins.detections.numbers import natural, number, whole
from vireid_plugins.errors import DataError

# Values of a line of MOT16's ground truth.
_TRUTH = 9
# Its classes; "person" is the word of COCO for "pedestrian".
_CLASSES = (
    *("person", "person on vehicle", "car", "bicycle", "motorbike", "non motorized vehicle", "static person"),
    *("distractor", "occluder", "occluder on the ground", "occluder full", "reflection", "crowd"),
)


def read_mot(file: Path, text: str) -> Boxes:
    """Return the boxes of a text.

    Args:
        file: the file that it is from, for messages.
        text: its content.

    Raises:
        DataError: a line is malformed; the message names file and line.
    """
    boxes, left_out = list[Box](), Counter[str]()
    for line, row in enumerate(text.splitlines(), 1):
        if not row.strip():
            continue
        try:
            box = _box(f"{file}:{line}", row.split(","))
        except ValueError as error:
            raise DataError(f"'{file}:{line}': {error}") from None
        if box is None:
            left_out["not to be considered by its ground truth"] += 1
        else:
            boxes.append(box)
    return Boxes(file, boxes, {box.category for box in boxes if box.category}, left_out=left_out)


def _box(origin: str, values: list[str]) -> Box | None:
    """Return the box of a line; None if the line says that it does not count."""
    values = [value.strip() for value in values]
    if len(values) > 6 and not values[-1]:
        values.pop()  # a comma at the end
    if not 6 <= len(values) <= 10:
        raise ValueError(
            f"it has {len(values)} values between commas; a line is frame,id,left,top,width,height,confidence,..."
        )
    frame, track = natural(values[0], "the frame"), whole(values[1], "the id")
    left, top, width, height = (
        number(value, name) for value, name in zip(values[2:6], ("left", "top", "width", "height"), strict=True)
    )
    confidence = number(values[6], "the confidence") if len(values) > 6 else None
    category = ""
    code = whole(values[7], "the class") if len(values) == _TRUTH else -1
    # Trackers that write nine values have -1 for a class.
    if code != -1:
        if confidence == 0:
            return None
        category = _CLASSES[code - 1] if 1 <= code <= len(_CLASSES) else str(code)
    name = "" if track < 0 else str(track)
    return Box(origin, left, top, width, height, frame, "", confidence, name, category)
