"""What is known of images besides their pixels, from a CSV or JSON file beside them.

A CSV file has a header, and a JSON file is a list of tables. The column `file` names an image, relative to the file's
own folder; `camera`, `time` and `track` have places of their own, and every other column becomes one of your own to
filter by. An empty cell says nothing.
"""

import json
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vireid_plugins.detections.sidecar import NAME as CROPS
from vireid_plugins.errors import ConfigError, DataError
from vireid_plugins.escape import as_utf8
from vireid_plugins.io.csv_table import CsvTable
from vireid_plugins.io.regular import read_bytes
from vireid_plugins.search.engines.where import KNOWN, NAME, number_or_word, seconds
from vireid_plugins.search.images import Found
from vireid_plugins.search.moved import one_spelling

FILE = "file"
# Largest file that is read.
MOST = 2 * 2**30


class Metadata:
    """Facts of images by path; false if there are none.

    Args:
        facts: by the one spelling of an image's path: camera, time, track and extra.
        folders: those whose images it speaks of; None: all.
    """

    def __init__(self, facts: dict[str, dict[str, Any]] | None = None, folders: frozenset[str] | None = None) -> None:
        self.facts, self.folders = facts or {}, folders

    def __bool__(self) -> bool:
        return bool(self.facts)

    def of(self, image: Found) -> dict[str, Any]:
        """Return the facts of an image as fields of its record; none if nothing is known of it."""
        return self.facts.get(image.path, {})

    def speaks_of(self, image: Found) -> bool:
        """Return whether an image of which it knows nothing has no facts, and does not keep those that it had."""
        return bool(self) and (self.folders is None or str(Path(image.path).parent) in self.folders)

    @classmethod
    def beside(cls, images: Iterable[Found]) -> "Metadata":
        """Read the `crops.csv` of every folder of crops that some images are in.

        Raises:
            DataError: see `read`.
        """
        files = [folder / CROPS for folder in sorted({image.file.parent for image in images})]
        files = [file for file in files if os.path.isfile(file)]  # noqa: PTH113  Path.is_file raises errors
        facts = {path: found for file in files for path, found in cls.read(file).facts.items()}
        return cls(facts, frozenset(os.path.realpath(file.parent) for file in files))

    @classmethod
    def read(cls, file: Path) -> "Metadata":
        """Read a file; its ending says which kind it is.

        Raises:
            DataError: it cannot be read; the message names the line and what would be right.
        """
        try:
            text = read_bytes(file, MOST).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise DataError(f"'{file}' is no text in UTF-8: {error.reason} at byte {error.start}") from None
        except OSError as error:
            raise DataError(f"'{file}' cannot be read: {error.strerror}") from None
        if file.suffix.lower() not in (".csv", ".json"):
            raise DataError(f"'{file}': metadata is a .csv or a .json file")
        rows = _of_json(file, text) if file.suffix.lower() == ".json" else _of_csv(file, text)
        found: dict[str, dict[str, Any]] = {}
        for where, row in rows:
            path = row.pop(FILE, "")
            if not isinstance(path, str) or not path:
                raise DataError(f"{where}: the column '{FILE}' names no file")
            key = one_spelling(file.parent / path)
            if key in found:
                raise DataError(f"{where}: '{path}' has a line already")
            found[key] = _facts(where, row)
        return cls(found)


def _of_csv(file: Path, text: str) -> Iterable[tuple[str, dict[str, Any]]]:
    table = CsvTable(file, text)
    if FILE not in table.header:
        raise DataError(f"{table.where}: there is no column '{FILE}'; the columns are {', '.join(table.header)}")
    for row in table:
        yield table.where, {name: value for name, value in row.items() if value}


def _of_json(file: Path, text: str) -> Iterable[tuple[str, dict[str, Any]]]:
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"'{file}' is no JSON: {error}") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise DataError(f"'{file}' must hold a list of tables, one per image")
    for number, row in enumerate(rows, 1):
        # As the cells of a CSV file; a name of a file may have spaces around it.
        words = {name: value.strip() for name, value in row.items() if isinstance(value, str) and name != FILE}
        cells = {**row, **words}
        yield f"'{file}', entry {number}", {name: value for name, value in cells.items() if value not in (None, "")}


def _facts(where: str, row: dict[str, Any]) -> dict[str, Any]:
    """Return a row as fields of a record."""
    facts: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise DataError(f"{where}: '{name}' is {value!r}; give a word or a number")
        if isinstance(value, float) and not math.isfinite(value):
            # JSON of Python can write NaN, and 1e999 is infinite.
            raise DataError(f"{where}: '{name}' is {value}; give a finite number, or null where nothing is known")
        if isinstance(value, str) and as_utf8(value) != value:
            # JSON can write half of a pair of surrogates.
            raise DataError(f"{where}: '{name}' is {value!r}, which is no text in UTF-8")
        if name in ("camera", "track"):
            facts[name] = str(value)
        elif name == "time":
            try:
                facts["time"] = seconds(str(value))
            except ConfigError as error:
                raise DataError(f"{where}: {error}") from None
        elif name in KNOWN or not NAME.fullmatch(name):
            raise DataError(
                f"{where}: a column cannot be called '{name}'; names have letters, digits and _, and "
                f"{' and '.join(one for one in KNOWN if one in ('modality', 'digest', 'folder'))} are taken"
            )
        else:
            # A number that conditions take for a word is one: an identity may have twenty digits.
            extra[name] = value if isinstance(value, float) else number_or_word(str(value))
    return {**facts, "extra": extra} if extra else facts
