"""Read a file of boxes; what it begins with tells its format."""

from contextlib import suppress
from pathlib import Path

from vireid_plugins.detections.boxes import Boxes
from vireid_plugins.detections.coco import read_coco
from vireid_plugins.detections.mot import read_mot
from vireid_plugins.detections.table import read_table
from vireid_plugins.errors import DataError
from vireid_plugins.io.regular import read_text

# A gigabyte of text is some ten million boxes.
_LIMIT = 2**30


def read_boxes(file: Path) -> Boxes:
    """Return the boxes of a file: COCO's JSON, MOT's text, or a table with a header; an empty file has none.

    Raises:
        DataError: it cannot be read or is malformed; the message names file and line.
    """
    try:
        text = read_text(file, _LIMIT)
    except OSError as error:
        raise DataError(f"'{file}' cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise DataError(f"'{file}' is no text in UTF-8; boxes are MOT's text, COCO's JSON or a CSV file") from None
    start = text.lstrip()
    if start[:1] in ("{", "["):
        return read_coco(file, text)
    return read_mot(file, text) if not start or _begins_with_number(start) else read_table(file, text)


def _begins_with_number(text: str) -> bool:
    line = text.split("\n", 1)[0]
    with suppress(ValueError):
        float(line.split(",")[0])
        return True
    return False
