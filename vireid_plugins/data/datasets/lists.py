"""Readers of the two kinds of list files that the data sets ship."""

import re
from pathlib import Path

from vireid_plugins.errors import DataError
from vireid_plugins.io.regular import read_text


def read_ids(file: Path) -> list[int]:
    """Read one line of comma-separated identities.

    Raises:
        DataError: the file is missing, empty or malformed.
    """
    text = _read(file).strip().strip(",")
    if not re.fullmatch(r"\d+(\s*,\s*\d+)*", text):
        raise DataError(f"'{file}' must contain one line of comma-separated identities, got '{text[:60]}'")
    return [int(word) for word in text.split(",")]


def read_labelled_paths(file: Path) -> list[tuple[str, int]]:
    """Read lines `<path> <label>`, ending in LF or CRLF; empty lines are skipped.

    Raises:
        DataError: the file is missing or empty, or a line is malformed or leads out of the data set's folder.
    """
    rows = []
    for number, line in enumerate(_read(file).splitlines(), start=1):
        if not line.strip():
            continue
        path, _, label = line.strip().rpartition(" ")
        if not path or not label.isdecimal():
            raise DataError(f"'{file}' line {number} must be '<path> <label>', got '{line[:80]}'")
        if path.startswith(("/", "\\")) or path[1:2] == ":" or ".." in path.replace("\\", "/").split("/"):
            raise DataError(f"'{file}' line {number} leads out of the data set's folder: '{path}'")
        rows.append((path, int(label)))
    if not rows:
        raise DataError(f"'{file}' is empty; it must contain lines '<path> <label>'")
    return rows


def _read(file: Path) -> str:
    try:
        return read_text(file)
    except OSError as error:
        raise DataError(f"'{file}' cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise DataError(f"'{file}' cannot be read: it is not a text file") from None
