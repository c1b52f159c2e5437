"""A gallery of your own images: an index on disk to which images can be added and from which they can be removed.

Its folder holds the images' features and index, and `gallery.json`: the images with their numbers and modalities, the
model that made the features, and the kind and measured recall of the index. `vireid_plugins.search.gallery_files` says
how the folder is written and read.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

import faiss
import numpy as np

from vireid_plugins.errors import DataError, first_line
from vireid_plugins.search import gallery_files
from vireid_plugins.search.gallery_files import DamageError, Stored, is_gallery, writing
from vireid_plugins.search.index import (
    IndexKind,
    Numbers,
    Vectors,
    add,
    choose_kind,
    new_index,
    numbers_in,
    search,
    set_effort,
    tuned_effort,
)
from vireid_plugins.search.moved import Moved, one_spelling

logger = logging.getLogger("fastreid." + __name__)
# How far the length of a feature may be from 1.
LENGTH = 1e-3


@dataclass(frozen=True)
class Entry:
    """An image of a gallery.

    Attributes:
        path: of the file; see `vireid_plugins.search.moved.one_spelling`.
        modality: 0 visible, 1 infrared.
        stamp: size and modification time; if they change, the image has changed.
    """

    path: str
    modality: int
    stamp: str


class Hit(NamedTuple):
    """A retrieved image: its rank from 1, path, modality, and cosine similarity to the query."""

    rank: int
    path: str
    modality: int
    similarity: float


class Gallery:
    """Images, their features, and the index over them.

    Args:
        width: width of the features, D.
        made_by: the model that made the features; queries must come from the same model.

    Attributes:
        folders: the indexed folders, each with itself and the linked folders that were followed from it.
        folder: the folder that it was read from or written to last; None if there is none.
        place: the path of that folder when the gallery was written.
    """

    def __init__(self, width: int, made_by: dict[str, Any]) -> None:
        self.width, self.made_by = width, made_by
        self.entries: dict[int, Entry] = {}
        self.folders: dict[str, list[str]] = {}
        self.vectors: Vectors = np.zeros((0, width), np.float32)
        self.numbers: Numbers = np.zeros(0, np.int64)
        self.next_number = 0
        self.kind = IndexKind.FLAT
        self.effort, self.recall = 0, 1.0
        self._index: Any = None
        self.folder: Path | None = None
        self.place = ""
        self._pointer: bytes | None = None

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def index(self) -> Any:
        """The faiss index over the images, built on first access."""
        if self._index is None:
            self._build()
        return self._index

    def add(self, entries: Sequence[Entry], vectors: Vectors) -> None:
        """Add images; an image whose path is already in the gallery is replaced.

        Args:
            entries: n images.
            vectors: (n, D), L2-normalized.

        Raises:
            DataError: the shape of the vectors is not (n, D), one of them is not finite or its length is not 1, or two
                images have the same path.
        """
        vectors = np.asarray(vectors)
        if vectors.shape != (len(entries), self.width):
            raise DataError(f"vectors must be ({len(entries)}, {self.width}) for this gallery; got {vectors.shape}")
        if len({entry.path for entry in entries}) < len(entries):
            raise DataError("two of the images have the same path")
        if problem := _problem_of(vectors):
            raise DataError(f"vectors must have length 1 (L2-normalized): {problem}")
        vectors = vectors.astype(np.float32, copy=False)
        self.remove([entry.path for entry in entries])
        numbers = np.arange(self.next_number, self.next_number + len(entries))
        self.next_number += len(entries)
        self.entries |= dict(zip(numbers.tolist(), entries, strict=True))
        self.vectors = np.concatenate([self.vectors, vectors])
        self.numbers = np.concatenate([self.numbers, numbers])
        if self._index is not None and choose_kind(len(self)) is self.kind:
            add(self._index, vectors, numbers)
        else:
            self._index = None

    def remove(self, paths: Iterable[str]) -> int:
        """Remove the images with these paths, and return the number of removed images."""
        paths = set(paths)
        numbers = [number for number, entry in self.entries.items() if entry.path in paths]
        if not numbers:
            return 0
        for number in numbers:
            del self.entries[number]
        keep = ~np.isin(self.numbers, numbers)
        self.vectors, self.numbers = self.vectors[keep], self.numbers[keep]
        if self._index is not None:
            self._index.remove_ids(np.asarray(numbers, np.int64))
        return len(numbers)

    def search(self, queries: Vectors, top: int = 10) -> list[list[Hit]]:
        """Return the nearest images of each query, best first.

        Args:
            queries: (Q, D), L2-normalized.
            top: number of images per query.

        Raises:
            DataError: the gallery is empty, the shape of the queries is not (Q, D), or one of them is not finite or its
                length is not 1.
        """
        if not len(self):
            raise DataError("the gallery is empty; add images first")
        queries = np.asarray(queries)
        if queries.ndim != 2 or queries.shape[1] != self.width:
            raise DataError(f"queries must be (Q, {self.width}) for this gallery; got {queries.shape}")
        if problem := _problem_of(queries):
            raise DataError(f"queries must have length 1 (L2-normalized): {problem}")
        top = min(top, len(self))
        similarities, numbers = search(self.index, queries, top, (self.vectors, self.numbers))
        # The product of two rounded vectors of length 1 can be above 1.
        similarities = similarities.clip(-1, 1)
        hits = []
        for row, scores in zip(numbers.tolist(), similarities.tolist(), strict=True):
            valid = [(n, s) for n, s in zip(row, scores, strict=True) if n >= 0]
            hits.append(
                [Hit(rank, self.entries[n].path, self.entries[n].modality, s) for rank, (n, s) in enumerate(valid, 1)]
            )
        return hits

    def _build(self) -> None:
        """Build an index of the kind that suits the number of images, and measure its recall."""
        self.kind = choose_kind(len(self))
        self._index = new_index(self.kind, self.vectors)
        add(self._index, self.vectors, self.numbers)
        self.effort, self.recall = 0, 1.0
        if self.kind is not IndexKind.FLAT:
            self.effort, self.recall = tuned_effort(self._index, self.vectors, self.numbers)
        logger.info("%s index of %d images, recall@10 %.3f", self.kind.value, len(self), self.recall)

    def save(self, folder: Path) -> None:
        """Write the gallery to a folder, replacing the gallery that it contains; readers see the old one or the new.

        Raises:
            DataError: the folder exists and is not a gallery, another process is writing it, or has written it since
                this gallery was read from it.
            ConfigError: the folder cannot be written; the old gallery stays.
        """
        with writing(folder):
            place = folder.resolve()
            if self.folder is not None and self.folder.resolve() == place:
                now = gallery_files.pointer_of(folder)
                if now is not None and now != self._pointer:
                    raise DataError(
                        f"the gallery '{folder}' was written by another process after it was read here; read it again "
                        "and repeat the change"
                    )
            index = self.index
            note = {
                "width": self.width,
                "made_by": self.made_by,
                "place": str(place),
                "folders": self.folders,
                "kind": self.kind.value,
                "effort": self.effort,
                "recall@10": self.recall,
                "next_number": self.next_number,
                "numbers": self.numbers.tolist(),
                "entries": [asdict(self.entries[number]) for number in self.numbers.tolist()],
            }
            content = None if self.kind is IndexKind.FLAT else faiss.serialize_index(index)
            self._pointer = gallery_files.write(folder, note, self.vectors, content)
            self.folder, self.place = folder, str(place)

    @classmethod
    def load(cls, folder: Path) -> "Gallery":
        """Read a gallery. If its folder has moved together with its images, their paths are the new ones.

        Raises:
            DataError: the gallery does not exist or cannot be read, or a file is missing, damaged or inconsistent with
                the others.
        """

        def check(stored: Stored, pointer: bytes) -> "Gallery":
            gallery = cls._of(stored, folder)
            gallery.folder, gallery._pointer = folder, pointer
            gallery.place = stored.note.get("place", str(folder.resolve()))
            return gallery

        gallery: Gallery = gallery_files.read(folder, check)
        return gallery

    @classmethod
    def _of(cls, stored: Stored, folder: Path) -> "Gallery":
        """Return the gallery that files contain.

        Raises:
            DamageError: they do not fit together.
        """
        note, vectors, _ = stored
        _check_note(note)
        if problem := _problem_of(vectors):
            raise DamageError(f"vectors: {problem}")
        gallery = cls(note["width"], note["made_by"])
        gallery.vectors, gallery.numbers = vectors, np.asarray(note["numbers"], np.int64)
        entries = [Entry(**entry) for entry in note["entries"]]
        _check_entries(entries)
        gallery.entries = dict(zip(note["numbers"], entries, strict=True))
        gallery.kind, gallery.effort = IndexKind(note["kind"]), note["effort"]
        gallery.recall, gallery.next_number = note["recall@10"], note["next_number"]
        if gallery.kind is not IndexKind.FLAT:
            gallery._index = _index_of(stored, gallery.numbers)
            set_effort(gallery._index, gallery.effort)
        if "place" in note:
            gallery._move(Moved(note["place"], folder), note["folders"])
        else:
            gallery._spell()
        return gallery

    def _move(self, moved: Moved, folders: dict[str, list[str]]) -> None:
        """Take over the indexed folders, and the new paths of what has moved together with the gallery."""
        self.folders = {moved.folder_of(root): [moved.folder_of(top) for top in tops] for root, tops in folders.items()}
        if moved:
            self.entries = {n: Entry(moved.file_of(e.path), e.modality, e.stamp) for n, e in self.entries.items()}

    def _spell(self) -> None:
        """Give the images of a gallery of an earlier commit one spelling each, and keep the newest of several."""
        newest = {one_spelling(entry.path): number for number, entry in self.entries.items()}
        kept = {number: path for path, number in newest.items()}
        self.remove([entry.path for number, entry in self.entries.items() if number not in kept])
        self.entries = {n: Entry(kept[n], e.modality, e.stamp) for n, e in self.entries.items()}


def open_gallery(folder: Path) -> Gallery | None:
    """Return the gallery in a folder, or None if there is none.

    Raises:
        DataError: it cannot be read.
    """
    return Gallery.load(folder) if is_gallery(folder) else None


def _problem_of(vectors: Vectors) -> str:
    """Return what is wrong with the first of some vectors that is not finite or has another length than 1."""
    if vectors.dtype.kind != "f":
        return f"they are {vectors.dtype}"
    lengths = np.sqrt(np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64))
    wrong = np.flatnonzero(~(np.abs(lengths - 1) <= LENGTH))
    return f"vector {wrong[0]} has length {lengths[wrong[0]]:g}; {len(wrong)} of {len(vectors)}" if len(wrong) else ""


def _check_note(note: dict[str, Any]) -> None:
    """Raise `DamageError` unless the values of a pointer have the right types and fit each other."""
    whole = [(key, note[key]) for key in ("width", "effort", "next_number")]
    whole += [("numbers", number) for number in note["numbers"]]
    for key, value in whole:
        if type(value) is not int or not 0 <= value < 2**63:
            raise DamageError(f"{key} holds {value!r}, not a whole number from 0")
    numbers = note["numbers"]
    if any(later <= earlier for earlier, later in pairwise(numbers)):
        raise DamageError("numbers do not ascend, so one may occur twice")
    if numbers and note["next_number"] <= numbers[-1]:
        raise DamageError(f"next_number is {note['next_number']}, but {numbers[-1]} is in use")
    if len(note["entries"]) != len(numbers):
        raise DamageError(f"{len(note['entries'])} images, but {len(numbers)} numbers")
    recall = note["recall@10"]
    if type(recall) not in (int, float) or not isfinite(recall) or not 0 <= recall <= 1:
        raise DamageError(f"recall@10 is {recall!r}, not a fraction")
    made_by = note["made_by"]
    if not isinstance(made_by, dict):
        raise DamageError("made_by is not a table")
    if "place" in note and not (
        isinstance(note["place"], str)
        and isinstance(note["folders"], dict)
        and all(isinstance(top, str) for tops in note["folders"].values() for top in tops)
    ):
        raise DamageError("place or folders are no paths")


def _check_entries(entries: Sequence[Entry]) -> None:
    for entry in entries:
        if not (isinstance(entry.path, str) and entry.path and isinstance(entry.stamp, str)):
            raise DamageError(f"an image has the path {entry.path!r} and the stamp {entry.stamp!r}")
        if type(entry.modality) is not int or entry.modality not in (0, 1):
            raise DamageError(f"'{entry.path}' has modality {entry.modality!r}; it is 0 or 1")
    if len({entry.path for entry in entries}) < len(entries):
        raise DamageError("an image is listed twice")


def _index_of(stored: Stored, numbers: Numbers) -> Any:
    """Return the faiss index in the bytes of its file.

    Raises:
        DamageError: it is damaged, or over other vectors.
    """
    try:
        index = faiss.deserialize_index(np.asarray(stored.content))
    except RuntimeError as error:
        raise DamageError(f"the faiss index cannot be read: {first_line(error)}") from None
    if not isinstance(index, faiss.IndexIVFPQ) or index.d != stored.note["width"]:
        raise DamageError("the faiss index is not an IVF-PQ index over these vectors")
    if not np.array_equal(np.sort(numbers_in(index)), numbers):
        raise DamageError(f"the faiss index holds {index.ntotal} other images than the {len(numbers)} of the gallery")
    return index
