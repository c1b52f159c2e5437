"""Right and wrong hits of a gallery, as people marked them: labeled pairs to calibrate with.

They are `marks.csv` in the gallery's folder, with the columns `query`, `file` and `same`, which is yes or no. Paths are
absolute, or relative to that folder. A query that is no image of the gallery is kept as `marked/DIGEST.ENDING`, for as
long as a pair names it.
"""

import csv
import hashlib
import io
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout

from vireid_plugins.errors import ConfigError, DataError
from vireid_plugins.io.csv_table import CsvTable
from vireid_plugins.io.files import for_writing, write_bytes
from vireid_plugins.io.regular import read_text

FILE, FOLDER, LOCK = "marks.csv", "marked", ".marks.lock"
COLUMNS = ("query", "file", "same")
# Seconds to wait for another process that marks.
PATIENCE = 10.0
_NAME = re.compile(r"[0-9a-f]{64}\.[a-z]{3,4}")


class Mark(NamedTuple):
    """A pair: the query and the image, as `marks.csv` names them, and whether they show one person."""

    query: str
    file: str
    same: bool


def read_marks(gallery: Path) -> list[Mark]:
    """Return the marks of a gallery, in the order in which they were made; none if nobody made any.

    Args:
        gallery: the gallery's folder.

    Raises:
        DataError: the file cannot be read, or is no table of marks; the message names the line.
    """
    file = gallery / FILE
    if not os.path.lexists(file):
        return []
    try:
        table = CsvTable(file, read_text(file))
    except UnicodeDecodeError as error:
        raise DataError(f"'{file}' is no text in UTF-8: {error.reason} at byte {error.start}") from None
    except OSError as error:
        raise DataError(f"'{file}' cannot be read: {error.strerror}") from None
    if table.header != list(COLUMNS):
        raise DataError(f"{table.where}: the columns must be {','.join(COLUMNS)}; got {','.join(table.header)}")
    marks = []
    for row in table:
        if row["same"] not in ("yes", "no") or not row["query"] or not row["file"]:
            raise DataError(f"{table.where}: needs a query, a file, and yes or no; got {','.join(row.values())}")
        marks.append(Mark(row["query"], row["file"], row["same"] == "yes"))
    return marks


def mark(gallery: Path, query: str, file: str, same: bool | None, content: bytes = b"") -> None:
    """Keep a pair, in place of what was said of it before.

    Args:
        gallery: the gallery's folder.
        query: path of the query, as in `Mark`.
        file: path of the image.
        same: whether they show one person; None takes back what was said.
        content: of a query that is no image of the gallery, which is kept; its path is that of `name_of_query`.

    Raises:
        ConfigError: the marks cannot be written, or a path is no text.
        DataError: the file of the marks is damaged.
    """
    with _changing(gallery) as marks:
        if content and not (gallery / query).exists():
            write_bytes(gallery / query, content)
        number = next((n for n, one in enumerate(marks) if (one.query, one.file) == (query, file)), len(marks))
        marks[number : number + 1] = [] if same is None else [Mark(query, file, same)]


def name_of_query(content: bytes, ending: str) -> str:
    """Return the path at which the content of a query is kept, relative to the gallery's folder."""
    return f"{FOLDER}/{hashlib.sha256(content).hexdigest()}{ending}"


def kept_queries(gallery: Path, digest: str) -> list[str]:
    """Return the paths of kept queries with a digest, relative to the folder: one, or none."""
    return [f"{FOLDER}/{file.name}" for file in _kept(gallery) if file.stem == digest]


def forget(gallery: Path, paths: Iterable[str]) -> int:
    """Remove the pairs that name one of some images, and the kept queries that nobody names any more.

    Returns:
        the number of removed pairs.
    """
    if not os.path.lexists(gallery / FILE):
        return 0
    gone = set(paths)
    with _changing(gallery) as marks:
        before = len(marks)
        marks[:] = [one for one in marks if one.query not in gone and one.file not in gone]
        return before - len(marks)


@contextmanager
def _changing(gallery: Path) -> Iterator[list[Mark]]:
    """Yield the marks, which are written at the end of the `with` block if they changed, by one process at a time."""
    with for_writing(gallery / LOCK):
        lock = FileLock(gallery.resolve() / LOCK, timeout=PATIENCE)
        try:
            lock.acquire()
        except Timeout:
            raise ConfigError(f"'{gallery / FILE}' is being written by another process; try again") from None
    try:
        marks = read_marks(gallery)
        before = list(marks)
        yield marks
        if marks != before:
            write_bytes(gallery / FILE, _table(marks))
        named = {one.query for one in marks}
        for file in _kept(gallery):
            if f"{FOLDER}/{file.name}" not in named:
                file.unlink(missing_ok=True)
    finally:
        lock.release()


def _table(marks: Iterable[Mark]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows((query, file, "yes" if same else "no") for query, file, same in marks)
    try:
        return text.getvalue().encode()
    except UnicodeEncodeError:
        raise ConfigError("an image whose path is no text in UTF-8 cannot be marked; rename it") from None


def _kept(gallery: Path) -> list[Path]:
    folder = gallery / FOLDER
    return sorted(file for file in folder.iterdir() if _NAME.fullmatch(file.name)) if folder.is_dir() else []
