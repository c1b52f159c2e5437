"""Read a table of images: a header, then one image per line.

Columns: `path`, `identity` and `modality`, and perhaps `camera` and `split`; others are ignored. Columns are separated
by commas, semicolons or tabs, whichever the header has.
"""

import csv
import posixpath
from collections.abc import Iterator
from pathlib import Path

from vireid_plugins.data.datasets.folders import without_suffix
from vireid_plugins.data.datasets.own_images import MODALITY_WORDS, SPLIT_WORDS, OwnImage, modality_of
from vireid_plugins.errors import DataError
from vireid_plugins.io.regular import read_text

REQUIRED, OPTIONAL = ("path", "identity", "modality"), ("camera", "split")
_SEPARATORS = ",;\t"


def read_own_csv(file: Path) -> list[OwnImage]:
    """Return the images that a table lists, in its order.

    Raises:
        DataError: the file is missing, empty or malformed, a line lacks something, leads out of the folder or repeats
            an image; the message names file and line.
    """
    rows = _rows(file)
    number, names = next(rows, (0, []))
    columns = [name.strip().lower() for name in names]
    missing = [name for name in REQUIRED if name not in columns]
    # A spreadsheet may end every line with empty columns.
    named = [name for name in columns if name]
    if missing or len(set(named)) < len(named):
        problem = f"lacks {', '.join(missing)}" if missing else "names a column twice"
        raise DataError(
            f"'{file}': the header {problem}; the first line must name the columns {', '.join(REQUIRED)}, and perhaps "
            f"{' and '.join(OPTIONAL)}, got {','.join(names)[:80]!r}"
        )
    images: list[OwnImage] = []
    first_line: dict[str, int] = {}
    for number, cells in rows:
        image = _image(f"'{file}' line {number}", columns, cells)
        first = first_line.setdefault(without_suffix(image.path), number)
        if first != number:
            raise DataError(f"{image.where} repeats line {first}, '{image.path}'; list each image once")
        images.append(image)
    if not images:
        raise DataError(f"'{file}' lists no image; after the header, each line must be one")
    return images


def _image(where: str, columns: list[str], cells: list[str]) -> OwnImage:
    """Return the image of a line."""
    if len(cells) != len(columns):
        raise DataError(f"{where} has {len(cells)} values, and the header names {len(columns)} columns")
    row = {name: cell.strip() for name, cell in zip(columns, cells, strict=True)}
    for name in REQUIRED:
        if not row[name]:
            raise DataError(f"{where} has no {name}")
    path = row["path"].replace("\\", "/")
    if path.startswith("/") or path[1:2] == ":" or ".." in path.split("/") or "\0" in path:
        raise DataError(f"{where} leads out of the folder of the images: '{row['path']}'; write paths relative to it")
    modality = modality_of(row["modality"])
    if modality is None:
        raise DataError(f"{where}: unknown modality '{row['modality']}'; known are {', '.join(MODALITY_WORDS)}")
    split = row.get("split", "").lower()
    if split and split not in SPLIT_WORDS:
        raise DataError(f"{where}: unknown split '{row['split']}'; known are {', '.join(SPLIT_WORDS)}")
    camera, known_split = row.get("camera", ""), SPLIT_WORDS.get(split, "")
    return OwnImage(posixpath.normpath(path), row["identity"], camera, modality, known_split, where)


def _rows(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (number of the line, its values) for each line that is not empty."""
    try:
        text = read_text(file)
    except OSError as error:
        raise DataError(f"'{file}' cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise DataError(f"'{file}' cannot be read: it is not a text file in UTF-8") from None
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    header = next((line for line in lines if line.strip()), "")
    separator = next((mark for mark in _SEPARATORS if mark in header), ",")
    reader = csv.reader((f"{line}\n" for line in lines), delimiter=separator, strict=True)
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield reader.line_num, cells
    except csv.Error as error:
        raise DataError(f"'{file}' line {reader.line_num} is no line of a table: {error}") from None
