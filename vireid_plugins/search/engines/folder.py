"""The engine of a folder: vectors in files that are mapped, records in SQLite, exact search by faiss.

One process writes at a time, and any number read. Vectors are written once, in segments: a thousand new images among a
hundred thousand write a thousand vectors. Neighboring segments of like size are merged, so that there are few. A
segment some of whose vectors are removed or replaced is written again without them, so that they are gone from the
disk.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from vireid_plugins.errors import ConfigError, DataError, require_name
from vireid_plugins.io.files import make_folder
from vireid_plugins.search.engines import vector_files
from vireid_plugins.search.engines.base import Candidate, Engine, Record, Vectors, check_keys, check_vectors, damaged
from vireid_plugins.search.engines.known import Known
from vireid_plugins.search.engines.rows import DATABASE, Numbers, Rows, Segment
from vireid_plugins.search.engines.vector_files import VectorFile
from vireid_plugins.search.engines.where import Where

# Vectors of a segment, at most.
LARGEST = 65_536
# Filters whose records are remembered until the gallery changes.
REMEMBERED = 8


class _Loaded(NamedTuple):
    """A state of the gallery.

    Attributes:
        version: of the database.
        files: of vectors, by the numbers that they hold.
        passing: the numbers of the records that pass the filters asked for last.
    """

    version: tuple[int, int]
    files: list[VectorFile]
    passing: OrderedDict[Where, Numbers]


class FolderEngine(Engine):
    """Vectors and records in a folder.

    Args:
        folder: the folder; it is created if `width` is given.
        width: D of a new gallery; None opens an existing one.
        dtype: type of the vectors of a new gallery, one of DTYPES; float16 takes half the space.

    Raises:
        DataError: the folder has no gallery and `width` is not given, or it cannot be read.
        ConfigError: it cannot be written, or the type is unknown.
    """

    name: ClassVar[str] = "faiss"
    single_process = False

    def __init__(self, folder: Path, width: int | None = None, dtype: str = "float32") -> None:
        self.folder = folder
        self._identity = _identity(folder)
        if not (folder / DATABASE).is_file():
            if width is None:
                raise DataError(f"'{folder}' is not a gallery; create one: vireid search index IMAGES --index {folder}")
            require_name("dtype", dtype, vector_files.DTYPES)
            make_folder(folder, "the gallery")
            self._rows = Rows.create(folder, {"width": str(width), "dtype": dtype})
            self._identity = _identity(folder)
        else:
            self._rows = Rows(folder)
        with self._rows.understood():
            self.width, self.dtype = int(self._rows.fact("width")), self._rows.fact("dtype")
        if width not in (None, self.width):
            raise DataError(f"the gallery '{folder}' has vectors of {self.width} numbers, not of {width}")
        self._loaded: _Loaded | None = None
        self._known: tuple[tuple[int, int], Known] | None = None

    def upsert(self, records: Sequence[Record], vectors: Vectors) -> None:
        """See `Engine.upsert`."""
        check_keys(records)
        vectors = check_vectors(vectors, len(records), self.width)
        if records:
            with self._writing() as state:
                self._delete(state, self._rows.numbers_of([record.key for record in records]).values())
                numbers = self._rows.insert(records)
                for start in range(0, len(records), LARGEST):
                    part = slice(start, start + LARGEST)
                    self._write(state, [vectors[part]], numbers[part])
                self._merge(state)

    def remove(self, keys: Iterable[str]) -> int:
        """See `Engine.remove`."""
        with self._writing() as state:
            numbers = self._rows.numbers_of(list(dict.fromkeys(keys)))
            self._delete(state, numbers.values())
            self._merge(state)
        return len(numbers)

    def records(self, where: Where | None = None) -> list[Record]:
        """See `Engine.records`."""
        with self._rows.understood():
            return self._rows.records(where)

    def some(self, start: int, count: int, where: Where | None = None) -> list[Record]:
        """See `Engine.some`."""
        with self._rows.understood():
            return self._rows.records(where, start, count)

    def vectors(self, keys: Sequence[str]) -> Vectors:
        """See `Engine.vectors`."""
        with self._rows.transaction():
            loaded, numbers = self._load(), self._rows.numbers_of(keys)
            unknown = next((key for key in keys if key not in numbers), None)
            if unknown is not None:
                raise DataError(f"the gallery '{self.folder}' has no image '{unknown}'")
            return _gathered(loaded.files, np.array([numbers[key] for key in keys], np.int64), self.width)

    def nearest(self, queries: Vectors, top: int, where: Where | None = None) -> list[list[Candidate]]:
        """See `Engine.nearest`."""
        queries = np.ascontiguousarray(check_vectors(queries, len(queries), self.width, "queries"))
        with self._rows.transaction():
            loaded = self._load()
            passing = None if where is None else self._passing(loaded, where)
            _, found = vector_files.nearest(_selected(loaded.files, passing), queries, top)
            numbers = np.unique(found[found >= 0])
            records = self._rows.numbered(numbers.tolist())
            if len(records) < len(numbers):
                raise damaged(self.folder, f"{DATABASE} lacks an image that has a vector")
        vectors = dict(zip(numbers.tolist(), _gathered(loaded.files, numbers, self.width), strict=True))
        return [[Candidate(records[one], vectors[one]) for one in row if one >= 0] for row in found.tolist()]

    def count(self, where: Where | None = None) -> int:
        """See `Engine.count`."""
        with self._rows.transaction():
            loaded = self._load()
            if where is None:
                return sum(len(one.segment.numbers) for one in loaded.files)
            return len(self._passing(loaded, where))

    def known(self) -> Known:
        """See `Engine.known`; what has not changed is not read again."""
        with self._rows.transaction():
            version = self._rows.version()
            if self._known is None or self._known[0] != version:
                self._known = version, self._rows.known()
        return self._known[1]

    def replaced(self) -> bool:
        """See `Engine.replaced`. While this engine is open, no other file has the identity of its database."""
        return _identity(self.folder) != self._identity

    def rekey(self, moved: Mapping[str, str]) -> None:
        """See `Engine.rekey`. Where nothing can be written, only this engine knows the new keys."""
        try:
            with self._rows.transaction(write=True):
                self._rows.rekey(moved)
        except ConfigError:
            self._rows = self._rows.in_memory()
            self._loaded = None
            self._rows.rekey(moved)

    def facts(self) -> dict[str, str]:
        """See `Engine.facts`."""
        with self._rows.understood():
            return self._rows.facts()

    def set_facts(self, facts: Mapping[str, str]) -> None:
        """See `Engine.set_facts`."""
        with self._rows.transaction(write=True):
            for name, value in facts.items():
                self._rows.set_fact(name, value)

    def flush(self) -> None:
        """See `Engine.flush`: every change is flushed when it is made."""

    def close(self) -> None:
        """See `Engine.close`."""
        self._loaded = None
        self._rows.close()

    def _load(self) -> _Loaded:
        """Return the state that the transaction sees; what has not changed is not read again.

        A file may only be looked at first inside the transaction: after it, a writer may remove it.
        """
        with self._rows.understood():
            version = self._rows.version()
            if self._loaded is None or self._loaded.version != version:
                # Not by the digest alone: images that are indexed again may have the vectors of before.
                known = {} if self._loaded is None else {_name(one.segment): one for one in self._loaded.files}
                files = [known.get(_name(one)) or self._file(one) for one in self._rows.segments()]
                self._loaded = _Loaded(version, files, OrderedDict())
        return self._loaded

    def _passing(self, loaded: _Loaded, where: Where) -> Numbers:
        """Return the numbers (n,) of the records that pass in the state that the transaction sees, ascending."""
        found = loaded.passing.pop(where, None)
        if found is None:
            found = self._rows.numbers(where)
        loaded.passing[where] = found
        if len(loaded.passing) > REMEMBERED:
            loaded.passing.popitem(last=False)
        return found

    def _file(self, segment: Segment) -> VectorFile:
        return VectorFile(self.folder, segment, self.width, self.dtype)

    def _writing(self) -> "_Writing":
        return _Writing(self)

    def _write(self, state: "_Writing", parts: list[npt.NDArray[Any]], numbers: Numbers) -> None:
        """Write a segment, and enter it."""
        segment = vector_files.write(self.folder, self._rows.new_segment(), parts, numbers, self.dtype)
        self._rows.add_segment(segment)
        state.files.append(self._file(segment))
        state.files.sort(key=lambda one: int(one.segment.numbers[0]))

    def _delete(self, state: "_Writing", numbers: Iterable[int]) -> None:
        """Delete records, and write the segments that hold their vectors again without them."""
        gone = np.sort(np.fromiter(numbers, np.int64))
        self._rows.delete(gone.tolist())
        for file in list(state.files):
            held = file.segment.numbers
            keep = ~np.isin(held, gone)
            if not keep.all():
                state.drop(file)
                if keep.any():
                    self._write(state, [file.vectors[keep]], held[keep])

    def _merge(self, state: "_Writing") -> None:
        """Merge neighbors of which the first is less than twice as large as the second, the last ones first."""
        at = len(state.files) - 2
        while at >= 0:
            left, right = state.files[at : at + 2]
            held = left.segment.numbers, right.segment.numbers
            if len(held[0]) < 2 * len(held[1]) and len(held[0]) + len(held[1]) <= LARGEST:
                state.drop(left)
                state.drop(right)
                self._write(state, [left.vectors, right.vectors], np.concatenate(held))
            at = min(at, len(state.files) - 1) - 1


class _Writing:
    """The only writer of a folder inside a `with` block, and the files as they will be."""

    def __init__(self, engine: FolderEngine) -> None:
        self.engine = engine
        self.transaction = engine._rows.transaction(write=True)
        self.files: list[VectorFile] = []

    def __enter__(self) -> "_Writing":
        self.transaction.__enter__()
        try:
            self.files = list(self.engine._load().files)
        except BaseException as error:
            self.transaction.__exit__(type(error), error, error.__traceback__)
            raise
        # Of writers that were killed.
        self._tidy()
        return self

    def __exit__(self, *error: Any) -> None:
        try:
            self.transaction.__exit__(*error)
        except BaseException:
            # What the disk holds is read again; files that nobody needs are removed by the next writer.
            self.engine._loaded = None
            raise
        if error[0] is None:
            self.engine._loaded = _Loaded(self.engine._rows.version(), self.files, OrderedDict())
        elif self.engine._loaded is not None:
            self.files = list(self.engine._loaded.files)
        self._tidy()

    def drop(self, file: VectorFile) -> None:
        """Strike a segment; its file is removed at the end."""
        self.engine._rows.drop_segment(file.segment.segment)
        self.files.remove(file)

    def _tidy(self) -> None:
        vector_files.remove_others(self.engine.folder, {one.segment.segment for one in self.files})


def _identity(folder: Path) -> tuple[int, int] | None:
    """Return what tells the database in a folder from another one in its place; None if there is none."""
    try:
        status = (folder / DATABASE).stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _name(segment: Segment) -> tuple[int, str]:
    """Return what no other segment of a database has."""
    return segment.segment, segment.sha256


def _selected(files: list[VectorFile], passing: Numbers | None) -> Iterator[tuple[npt.NDArray[Any], Numbers]]:
    """Yield the vectors of the records that pass, with their numbers, in blocks."""
    for file in files:
        held = file.segment.numbers
        if passing is None:
            yield file.vectors, held
            continue
        first, last = np.searchsorted(passing, held[[0, -1]] + [0, 1])
        inside = passing[first:last]
        for start in range(0, len(inside), vector_files.BLOCK):
            some = inside[start : start + vector_files.BLOCK]
            yield file.vectors[np.searchsorted(held, some)], some


def _gathered(files: list[VectorFile], numbers: Numbers, width: int) -> Vectors:
    """Return the vectors (n, D) of some numbers."""
    found = np.zeros((len(numbers), width), np.float32)
    for file in files:
        held = file.segment.numbers
        rows = np.flatnonzero((numbers >= held[0]) & (numbers <= held[-1]))
        if len(rows):
            found[rows] = file.vectors[np.searchsorted(held, numbers[rows])]
    return found
