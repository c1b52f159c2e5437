"""Readers of the two kinds of list files that the data sets ship.

Encodings and line ends of every system are read: a byte order mark is skipped, lines end in LF or CRLF, and words are
separated by any number of spaces and tabs.
"""

import posixpath
import re
from pathlib import Path

from vireid_plugins.data.datasets.folders import without_suffix
from vireid_plugins.errors import DataError
from vireid_plugins.io.regular import read_text


def read_ids(file: Path) -> list[int]:
    """Read one line of comma-separated identities.

    Raises:
        DataError: the file is missing, empty or malformed, or names an identity twice.
    """
    text = _read(file).strip().strip(",")
    if not re.fullmatch(r"[0-9]{1,18}(\s*,\s*[0-9]{1,18})*", text):
        raise DataError(f"'{file}' must contain one line of comma-separated identities, got {text[:60]!r}")
    identities = [int(word) for word in text.split(",")]
    if len(set(identities)) < len(identities):
        twice = sorted({identity for identity in identities if identities.count(identity) > 1})
        raise DataError(f"'{file}' names identity {', '.join(map(str, twice))} more than once; list each identity once")
    return identities


def read_labelled_paths(file: Path) -> list[tuple[str, int]]:
    """Read lines `<path> <label>`; empty lines are skipped. Paths are returned with forward slashes.

    Raises:
        DataError: the file is missing or empty, or a line is malformed or leads out of the data set's folder.
    """
    return [(path, label) for _, path, label in _rows(file)]


def read_images(file: Path) -> list[tuple[str, int]]:
    """Read lines `<path of an image> <label>` like `read_labelled_paths`; no image may be listed twice.

    Raises:
        DataError: see `read_labelled_paths`; or two lines name one image, or differ only in its suffix.
    """
    rows = _rows(file)
    first_line: dict[str, int] = {}
    for number, path, _ in rows:
        first = first_line.setdefault(without_suffix(posixpath.normpath(path)), number)
        if first != number:
            raise DataError(f"'{file}' line {number} repeats line {first}, '{path}'; list each image once")
    return [(path, label) for _, path, label in rows]


def _rows(file: Path) -> list[tuple[int, str, int]]:
    """Return (number of the line, path, label) for each line that is not empty."""
    rows: list[tuple[int, str, int]] = []
    for number, line in enumerate(_read(file).replace("\r\n", "\n").replace("\r", "\n").split("\n"), start=1):
        words = line.strip().rsplit(maxsplit=1)
        if not words:
            continue
        if len(words) < 2 or not re.fullmatch("[0-9]{1,18}", words[1]) or "\0" in line:
            raise DataError(f"'{file}' line {number} must be '<path> <label>', got {line[:80]!r}")
        path = words[0].replace("\\", "/")
        if path.startswith("/") or path[1:2] == ":" or ".." in path.split("/"):
            raise DataError(f"'{file}' line {number} leads out of the data set's folder: '{words[0]}'")
        rows.append((number, path, int(words[1])))
    if not rows:
        raise DataError(f"'{file}' is empty; it must contain lines '<path> <label>'")
    return rows


def _read(file: Path) -> str:
    try:
        return read_text(file)
    except OSError as error:
        raise DataError(f"'{file}' cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise DataError(f"'{file}' cannot be read: it is not a text file in UTF-8") from None
