"""What every engine does, so that a search does not know which one it asks.

An engine keeps vectors of length 1 with a `Record` each, by key. It finds candidates; how similar they are, in which
order they come and whether they match is decided from their vectors in one place for all engines
(`vireid_plugins.search.similarity`), since libraries round differently and treat a threshold's own value differently.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from vireid_plugins.errors import DataError
from vireid_plugins.search.engines.known import Known
from vireid_plugins.search.engines.where import Where

Vectors = npt.NDArray[np.float32]
Value = str | float | int
# How far the length of a vector may be from 1: as far as half precision rounds.
LENGTH = 2e-3


@dataclass(frozen=True)
class Record:
    """What is known of an image or a track.

    Attributes:
        key: tells it from all others; the one spelling of its path (`vireid_plugins.search.moved.one_spelling`), for a
            track its name in addition.
        modality: 0 visible, 1 infrared.
        stamp: size and modification time; if they change, the image has changed.
        digest: SHA-256 of the file, by which a copy or a moved file is known; empty if nobody computed it.
        camera: name of the camera; empty if unknown.
        time: seconds since 1970 UTC; None if unknown.
        track: name of the track; empty if it is a single image.
        extra: columns of your own, by name.
    """

    key: str
    modality: int
    stamp: str = ""
    digest: str = ""
    camera: str = ""
    time: float | None = None
    track: str = ""
    extra: Mapping[str, Value] = field(default_factory=lambda: MappingProxyType({}))


class Candidate(NamedTuple):
    """A record that may be among the nearest, with its vector (D,)."""

    record: Record
    vector: Vectors


class Engine(ABC):
    """Vectors of length 1 with their records. To be closed after use; also a context manager.

    Attributes:
        name: as in `--engine`.
        single_process: whether a second process cannot open the same place, not even to read.
        uri: address of its server; empty if it needs none.
        width: D.
    """

    name: ClassVar[str]
    single_process: bool
    uri: str = ""
    width: int

    @abstractmethod
    def upsert(self, records: Sequence[Record], vectors: Vectors) -> None:
        """Add records with their vectors (n, D); a record whose key is known is replaced. All or none are written, as
        far as the engine says.

        Raises:
            DataError: two records have the same key, or the vectors are not (n, D), finite and of length 1.
        """

    @abstractmethod
    def remove(self, keys: Iterable[str]) -> int:
        """Remove the records of some keys, and their vectors from its own disk; return how many there were."""

    @abstractmethod
    def records(self, where: Where | None = None) -> list[Record]:
        """Return the records that pass a filter, in the order in which they were added last."""

    def some(self, start: int, count: int, where: Where | None = None) -> list[Record]:
        """Return at most `count` of the records that pass a filter, from the place `start` on; see `records`."""
        return self.records(where)[start : start + count]

    @abstractmethod
    def vectors(self, keys: Sequence[str]) -> Vectors:
        """Return the vectors (n, D) of some keys.

        Raises:
            DataError: a key is unknown.
        """

    @abstractmethod
    def nearest(self, queries: Vectors, top: int, where: Where | None = None) -> list[list[Candidate]]:
        """Return the `top` records nearest to each query that pass a filter, nearest first but for rounding.

        Args:
            queries: (Q, D), of length 1.
            top: number of candidates per query, fewer if no more pass.
            where: the filter; a filtered search is exact.
        """

    @abstractmethod
    def count(self, where: Where | None = None) -> int:
        """Return the number of records that pass a filter."""

    def known(self) -> Known:
        """Return how many records there are, and what there is to filter by."""
        return Known.of(self.records())

    @abstractmethod
    def replaced(self) -> bool:
        """Return whether another gallery, or none, is now at the place of this one, which then must be opened anew."""

    @abstractmethod
    def rekey(self, moved: Mapping[str, str]) -> None:
        """Give the records of some keys other keys, none of which is in use."""

    @abstractmethod
    def facts(self) -> dict[str, str]:
        """Return what `set_facts` has kept."""

    @abstractmethod
    def set_facts(self, facts: Mapping[str, str]) -> None:
        """Keep texts by name, beside those of other names: which model made the vectors, and the like."""

    @abstractmethod
    def flush(self) -> None:
        """Return when everything that was written would be there after the machine loses power."""

    @abstractmethod
    def close(self) -> None:
        """Give up files and connections; the engine cannot be used any more."""

    def __enter__(self) -> "Engine":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def check_vectors(vectors: npt.NDArray[Any], count: int, width: int, what: str = "vectors") -> Vectors:
    """Return vectors (n, D) as float32.

    Raises:
        DataError: they are not (count, width), not finite, or not of length 1.
    """
    vectors = np.asarray(vectors)
    if vectors.shape != (count, width) or vectors.dtype.kind != "f":
        raise DataError(f"{what} must be numbers of shape ({count}, {width}); got {vectors.dtype} {vectors.shape}")
    lengths = np.sqrt(np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64))
    wrong = np.flatnonzero(~(np.abs(lengths - 1) <= LENGTH))
    if len(wrong):
        raise DataError(
            f"{what} must have length 1 (L2-normalized): vector {wrong[0]} has length {lengths[wrong[0]]:g}; "
            f"{len(wrong)} of {len(vectors)}"
        )
    return vectors.astype(np.float32, copy=False)


def check_keys(records: Sequence[Record]) -> None:
    """Raise a `DataError` unless all records have keys, and different ones."""
    seen: set[str] = set()
    for record in records:
        if not record.key or record.key in seen:
            raise DataError(f"two records have the key '{record.key}'" if record.key else "a record has no key")
        seen.add(record.key)


def damaged(place: Path, problem: str) -> DataError:
    """Return the error of a gallery that cannot be used."""
    return DataError(f"the gallery '{place}' is damaged ({problem}); delete it and index the images again")
