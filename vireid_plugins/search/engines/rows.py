"""Records of a folder's gallery, and which file holds which vectors, in a database of SQLite.

SQLite's transactions are the gallery's: what one of them wrote is there as a whole or not at all, also after a kill,
and readers see the state before or after it. A record has a number, which ascends in the order of addition; a segment
is a file of vectors with ascending numbers, and segments do not overlap.
"""

import errno
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vireid_plugins.errors import DataError, UserError
from vireid_plugins.io.files import cannot_write
from vireid_plugins.search.engines.base import Record, damaged
from vireid_plugins.search.engines.known import Known
from vireid_plugins.search.engines.where import WORDS, Condition, Where

DATABASE = "gallery.db"
FORMAT = 1
# Seconds that a writer waits for another, or for readers.
PATIENCE = 60.0
# Values of one statement; SQLite allows 999 in old releases.
AT_ONCE = 900
Numbers = npt.NDArray[np.int64]
_COLUMNS = "key, modality, stamp, digest, camera, time, track, extra"
_TABLES = """
CREATE TABLE rows (
    number INTEGER PRIMARY KEY AUTOINCREMENT, key BLOB NOT NULL UNIQUE, modality INTEGER NOT NULL, stamp TEXT NOT NULL,
    digest TEXT NOT NULL, camera TEXT NOT NULL, time REAL, track TEXT NOT NULL, extra TEXT NOT NULL
);
CREATE INDEX of_camera ON rows (camera, time);
CREATE INDEX of_track ON rows (track) WHERE track != '';
CREATE INDEX of_digest ON rows (digest);
CREATE TABLE segments (segment INTEGER PRIMARY KEY AUTOINCREMENT, numbers BLOB NOT NULL, sha256 TEXT NOT NULL);
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


class Segment(NamedTuple):
    """A file of vectors: its number, the ascending numbers (n,) of its records, and the digest of the file."""

    segment: int
    numbers: Numbers
    sha256: str


class Rows:
    """The database in a folder; it must exist.

    Args:
        folder: folder of the gallery.

    Raises:
        DataError: it cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # A reader that finds a killed writer's journal takes its changes back, which needs to write where that is
        # possible.
        uri = f"{(folder / DATABASE).resolve().as_uri()}?mode=rw"
        with self.understood():
            self._db = sqlite3.connect(uri, uri=True, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
            # What is removed is overwritten.
            self._db.execute("PRAGMA secure_delete = ON")
            self._db.execute("PRAGMA synchronous = FULL")
            found = int(self.fact("format"))
        if found != FORMAT:
            raise DataError(
                f"the gallery '{folder}' has format {found}, which a later release wrote; this one knows {FORMAT}"
            )

    @classmethod
    def create(cls, folder: Path, facts: dict[str, str]) -> "Rows":
        """Create the database of a gallery of some facts, unless there is one, and open it."""
        file = folder / DATABASE
        try:
            with closing(sqlite3.connect(file, isolation_level=None, timeout=PATIENCE)) as db:
                db.execute("BEGIN EXCLUSIVE")
                if not db.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]:
                    for statement in _TABLES.split(";")[:-1]:
                        db.execute(statement)
                    db.executemany("INSERT INTO facts VALUES (?, ?)", {"format": str(FORMAT), **facts}.items())
                db.execute("COMMIT")
        except sqlite3.OperationalError as error:
            # What was never a gallery would look like a damaged one.
            if file.is_file() and not file.stat().st_size:
                file.unlink()
            raise cannot_write(file, _system_error(error)) from None
        return cls(folder)

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    @contextmanager
    def understood(self) -> Iterator[None]:
        """Turn errors of SQLite, and of contents that nobody wrote, into those for the user."""
        try:
            yield
        except UserError:
            raise
        except sqlite3.OperationalError as error:
            if "locked" in str(error) or "busy" in str(error):
                raise DataError(
                    f"the gallery '{self.folder}' is being written by another process; try again when that has ended"
                ) from None
            if isinstance(system := _system_error(error), OSError):
                raise cannot_write(self.folder / DATABASE, system) from None
            raise damaged(self.folder, f"{DATABASE}: {error}") from None
        except (sqlite3.Error, ValueError, TypeError, OverflowError, RecursionError) as error:
            raise damaged(self.folder, f"{DATABASE}: {error}") from None

    @contextmanager
    def transaction(self, write: bool = False) -> Iterator[None]:
        """See one state inside a `with` block; with `write`, be the only writer, and write all changes or none."""
        with self.understood():
            self._db.execute("BEGIN IMMEDIATE" if write else "BEGIN")
        try:
            with self.understood():
                yield
                self._db.execute("COMMIT")
        except BaseException:
            # Of some errors, such as a full disk, SQLite takes everything back itself.
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def version(self) -> tuple[int, int]:
        """Return what changes when the database does: numbers of other connections' changes and of this one's."""
        return int(self._one("PRAGMA data_version")), self._db.total_changes

    def fact(self, name: str) -> str:
        """Return a fact of the gallery; an empty string if it has none of the name."""
        found = self._db.execute("SELECT value FROM facts WHERE name = ?", [name]).fetchone()
        return str(found[0]) if found else ""

    def set_fact(self, name: str, value: str) -> None:
        """Keep a fact of the gallery."""
        self._db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", [name, value])

    def facts(self) -> dict[str, str]:
        """Return all facts of the gallery by name."""
        return dict(self._db.execute("SELECT name, value FROM facts"))

    def rekey(self, moved: Mapping[str, str]) -> None:
        """Change keys."""
        pairs = [(os.fsencode(after), os.fsencode(before)) for before, after in moved.items()]
        self._db.executemany("UPDATE rows SET key = ? WHERE key = ?", pairs)

    def in_memory(self) -> "Rows":
        """Return a copy that is not on the disk, for a folder that cannot be written."""
        copy = Rows.__new__(Rows)
        copy.folder, copy._db = self.folder, sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self._db.backup(copy._db)
        self.close()
        return copy

    def insert(self, records: Sequence[Record]) -> Numbers:
        """Insert records with new keys, and return their numbers (n,)."""
        first = int(self._one("SELECT COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'rows'), 0)")) + 1
        numbers = np.arange(first, first + len(records))
        rows = [(number, *_stored(record)) for number, record in zip(numbers.tolist(), records, strict=True)]
        self._db.executemany(f"INSERT INTO rows (number, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        return numbers

    def numbers_of(self, keys: Sequence[str]) -> dict[str, int]:
        """Return the numbers of the keys that are known."""
        found: dict[str, int] = {}
        for part in _parts([os.fsencode(key) for key in keys]):
            marks = ", ".join("?" * len(part))
            for key, number in self._db.execute(f"SELECT key, number FROM rows WHERE key IN ({marks})", part):
                found[os.fsdecode(key)] = number
        return found

    def delete(self, numbers: Iterable[int]) -> None:
        """Delete records by number."""
        self._db.executemany("DELETE FROM rows WHERE number = ?", [(number,) for number in numbers])

    def numbers(self, where: Where | None) -> Numbers:
        """Return the numbers of the records that pass, ascending."""
        condition, values = _sql(where)
        found = self._db.execute(f"SELECT number FROM rows WHERE {condition} ORDER BY number", values)
        return np.fromiter((number for (number,) in found), np.int64)

    def count(self, where: Where | None) -> int:
        """Return the number of records that pass."""
        condition, values = _sql(where)
        return int(self._one(f"SELECT COUNT(*) FROM rows WHERE {condition}", values))

    def known(self) -> Known:
        """Return what there is to search, and to filter by."""
        counts, times = [0, 0], list[float]()
        found = self._db.execute("SELECT modality, COUNT(*), MIN(time), MAX(time) FROM rows GROUP BY modality")
        for modality, count, *between in found:
            if modality not in (0, 1):
                raise ValueError(f"an image has the modality {modality!r}")
            counts[modality] = count
            times += [one for one in between if one is not None]
        cameras = self._sorted("SELECT DISTINCT camera FROM rows WHERE camera != ''")
        columns = self._sorted("SELECT DISTINCT own.key FROM rows, json_each(rows.extra) AS own WHERE extra != '{}'")
        return Known((counts[0], counts[1]), cameras, columns, (min(times), max(times)) if times else ())

    def records(self, where: Where | None, start: int = 0, count: int = -1) -> list[Record]:
        """Return the records that pass, by number; at most `count` of them from the place `start` on, or all."""
        condition, values = _sql(where)
        asked = f"SELECT {_COLUMNS} FROM rows WHERE {condition} ORDER BY number LIMIT ? OFFSET ?"
        found = self._db.execute(asked, [*values, count, start])
        return [_record(row) for row in found]

    def numbered(self, numbers: Sequence[int]) -> dict[int, Record]:
        """Return the records with some numbers; those that are gone are left out."""
        found: dict[int, Record] = {}
        for part in _parts(list(numbers)):
            marks = ", ".join("?" * len(part))
            for number, *row in self._db.execute(
                f"SELECT number, {_COLUMNS} FROM rows WHERE number IN ({marks})", part
            ):
                found[number] = _record(row)
        return found

    def segments(self) -> list[Segment]:
        """Return the segments, by the numbers that they hold.

        Raises:
            DataError: they do not hold ascending numbers, as many as there are records.
        """
        found = self._db.execute("SELECT segment, numbers, sha256 FROM segments").fetchall()
        segments = [Segment(segment, np.frombuffer(numbers, np.int64), sha256) for segment, numbers, sha256 in found]
        segments.sort(key=lambda one: one.numbers[:1].tolist())
        numbers = np.concatenate([np.zeros(0, np.int64), *(one.numbers for one in segments)])
        if not all(len(one.numbers) for one in segments) or (np.diff(numbers) <= 0).any():
            raise damaged(self.folder, f"{DATABASE}: the numbers of its segments do not ascend")
        if len(numbers) != self.count(None):
            raise damaged(self.folder, f"{DATABASE} has {self.count(None)} images, but {len(numbers)} vectors")
        return segments

    def new_segment(self) -> int:
        """Return the number of the next segment; numbers of dropped ones are not used again."""
        return 1 + int(self._one("SELECT COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'segments'), 0)"))

    def add_segment(self, segment: Segment) -> None:
        """Enter a segment."""
        self._db.execute("INSERT INTO segments VALUES (?, ?, ?)", [segment[0], segment.numbers.tobytes(), segment[2]])

    def drop_segment(self, segment: int) -> None:
        """Strike a segment."""
        self._db.execute("DELETE FROM segments WHERE segment = ?", [segment])

    def _sorted(self, statement: str) -> list[str]:
        return sorted(str(found) for (found,) in self._db.execute(statement))

    def _one(self, statement: str, values: Sequence[Any] = ()) -> Any:
        return self._db.execute(statement, values).fetchone()[0]


def _system_error(error: sqlite3.OperationalError) -> Exception:
    """Return the system's error behind one of SQLite, which has texts of its own, if there is one."""
    numbers = {"readonly": errno.EROFS, "disk is full": errno.ENOSPC, "disk I/O": errno.EIO}
    found = next((number for text, number in numbers.items() if text in str(error)), None)
    return error if found is None else OSError(found, os.strerror(found))


def _parts(values: list[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(values), AT_ONCE):
        yield values[start : start + AT_ONCE]


def _stored(record: Record) -> tuple[Any, ...]:
    extra = json.dumps(dict(record.extra), ensure_ascii=False, allow_nan=False)
    # Names of files need not be text.
    key = os.fsencode(record.key)
    return key, record.modality, record.stamp, record.digest, record.camera, record.time, record.track, extra


def _record(row: Sequence[Any]) -> Record:
    """Return the record of a row.

    Raises:
        ValueError: it holds what nobody wrote.
    """
    key, modality, stamp, digest, camera, time, track, extra = row
    words = (stamp, digest, camera, track, extra)
    if modality not in (0, 1) or not all(isinstance(one, str) for one in words) or not isinstance(time, float | None):
        raise ValueError(f"an image has the modality {modality!r} and the facts {words!r}, {time!r}")
    return Record(os.fsdecode(key), modality, stamp, digest, camera, time, track, json.loads(extra))


def _sql(where: Where | None) -> tuple[str, list[Any]]:
    """Return a filter as a condition of SQL and its values."""
    conditions, values = ["1"], list[Any]()
    for condition in where.conditions if where else ():
        text, given = _condition(condition)
        conditions.append(text)
        values += given
    return " AND ".join(f"({one})" for one in conditions), values


def _condition(condition: Condition) -> tuple[str, list[Any]]:
    column, operator, value = condition
    given = list(value) if operator == "in" else [value]
    if column == "folder":
        # A path with the separator's successor behind it is the first that is not below the folder.
        folders = [os.fsencode(folder.rstrip(os.sep)) for folder in given]
        inside = " OR ".join(["key = ? OR (key > ? AND key < ?)"] * len(folders)) or "0"
        return inside, [bound for one in folders for bound in (one, one + b"/", one + b"0")]
    if column in ("camera", "track", "digest", "time", "modality"):
        found = column
        kind = f"{column} != ''" if column in WORDS else f"{column} IS NOT NULL"
        values: list[Any] = []
    else:
        # A column's name has no quotes.
        found = f"json_extract(extra, '$.{column}')"
        words = [isinstance(one, str) for one in given]
        kind = f"{found} IS NOT NULL AND {found} != ''"
        if operator not in ("=", "!=", "in"):
            kind += f" AND typeof({found}) {'=' if words[0] else '!='} 'text'"
        values = []
    if operator == "in":
        return f"{kind} AND {found} IN ({', '.join('?' * len(given))})", values + given
    return f"{kind} AND {found} {operator} ?", values + given
