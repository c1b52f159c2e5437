"""A gallery of one's own images: an index on disk that images can be added to and removed from.

The folder holds `vectors.npy` (n, D) float32, `gallery.faiss` (for galleries that are not flat), and `gallery.json`:
the images with their numbers and modalities, what the features were made by, kind and measured recall of the index. It
is written to a new folder and swapped in, so that an interrupted call leaves the old gallery.
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import faiss
import numpy as np

from vireid_plugins.errors import DataError
from vireid_plugins.io.files import make_folder
from vireid_plugins.search.index import (
    IndexKind,
    Numbers,
    Vectors,
    add,
    choose_kind,
    new_index,
    search,
    set_effort,
    tuned_effort,
)

logger = logging.getLogger("fastreid." + __name__)
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")


@dataclass(frozen=True)
class Entry:
    """An image of a gallery.

    Attributes:
        path: of the file.
        modality: 0 visible, 1 infrared.
        stamp: size and time of change, which tell whether it is still the same.
    """

    path: str
    modality: int
    stamp: str


class Hit(NamedTuple):
    """A found image: its rank from 1 on, its path, its modality, and the cosine with the query."""

    rank: int
    path: str
    modality: int
    similarity: float


def image_files(folder: Path) -> list[Path]:
    """Return the images below a folder, sorted; the file itself where `folder` is one.

    Raises:
        DataError: it does not exist, or there is no image.
    """
    if folder.is_file():
        return [folder]
    found = sorted(f for f in folder.rglob("*") if f.suffix.lower() in SUFFIXES) if folder.is_dir() else []
    if not found:
        kind = "holds no image" if folder.is_dir() else "does not exist"
        raise DataError(f"'{folder}' {kind}; images end in {', '.join(SUFFIXES)}")
    return found


def entry_of(file: Path, modality: int) -> Entry:
    """Return the entry of a file as it is now."""
    found = file.stat()
    return Entry(str(file.absolute()), modality, f"{found.st_size} {found.st_mtime_ns}")


class Gallery:
    """Images, their vectors, and the index over them.

    Args:
        width: D.
        made_by: what the features were made by; queries must come from the same.
    """

    def __init__(self, width: int, made_by: dict[str, Any]) -> None:
        self.width, self.made_by = width, made_by
        self.entries: dict[int, Entry] = {}
        self.vectors: Vectors = np.zeros((0, width), np.float32)
        self.numbers: Numbers = np.zeros(0, np.int64)
        self.next_number = 0
        self.kind = IndexKind.FLAT
        self.effort, self.recall = 0, 1.0
        self._index: Any = None

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def index(self) -> Any:
        """The faiss index over what is in the gallery."""
        if self._index is None:
            self._build()
        return self._index

    def add(self, entries: Sequence[Entry], vectors: Vectors) -> None:
        """Add images; one whose path is there already takes its place.

        Args:
            entries: n images.
            vectors: (n, D), L2-normalised.

        Raises:
            DataError: the vectors have another width than the gallery's.
        """
        if vectors.shape != (len(entries), self.width):
            raise DataError(
                f"the gallery takes vectors of {self.width} numbers; got {vectors.shape} for {len(entries)}"
            )
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
        """Remove images and return how many there were."""
        unwanted = set(paths)
        numbers = [number for number, entry in self.entries.items() if entry.path in unwanted]
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
            queries: (Q, D), L2-normalised.
            top: how many.

        Raises:
            DataError: the gallery is empty, or the queries have another width.
        """
        if not len(self):
            raise DataError("the gallery is empty: add images first")
        if queries.ndim != 2 or queries.shape[1] != self.width:
            raise DataError(f"queries must be (Q, {self.width}) for this gallery; got {queries.shape}")
        wanted = min(top, len(self))
        similarities, numbers = search(self.index, queries, wanted, (self.vectors, self.numbers))
        found = []
        for row, scores in zip(numbers.tolist(), similarities.tolist(), strict=True):
            known = [(n, s) for n, s in zip(row, scores, strict=True) if n >= 0]
            found.append(
                [Hit(rank, self.entries[n].path, self.entries[n].modality, s) for rank, (n, s) in enumerate(known, 1)]
            )
        return found

    def _build(self) -> None:
        """Build the index anew, of the kind for its size, and measure its recall."""
        self.kind = choose_kind(len(self))
        self._index = new_index(self.kind, self.vectors)
        add(self._index, self.vectors, self.numbers)
        self.effort, self.recall = 0, 1.0
        if self.kind is not IndexKind.FLAT:
            self.effort, self.recall = tuned_effort(self._index, self.vectors, self.numbers)
        logger.info("%s index of %d images, recall@10 %.3f", self.kind.value, len(self), self.recall)

    def save(self, folder: Path) -> None:
        """Write the gallery; an older one there is replaced as a whole.

        Raises:
            DataError: there is something else, which would be lost.
        """
        require_room(folder)
        index = self.index
        fresh = folder.with_name(folder.name + ".partial")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        np.save(fresh / "vectors.npy", self.vectors)
        if self.kind is not IndexKind.FLAT:
            faiss.write_index(index, str(fresh / "gallery.faiss"))
        note = {
            "width": self.width,
            "made_by": self.made_by,
            "kind": self.kind.value,
            "effort": self.effort,
            "recall@10": self.recall,
            "next_number": self.next_number,
            "numbers": self.numbers.tolist(),
            "entries": [asdict(self.entries[number]) for number in self.numbers.tolist()],
        }
        (fresh / "gallery.json").write_text(json.dumps(note, indent=1), encoding="utf-8")
        former = former_folder(folder)
        shutil.rmtree(former, ignore_errors=True)
        if folder.exists():
            folder.rename(former)
        fresh.rename(folder)
        shutil.rmtree(former, ignore_errors=True)

    @classmethod
    def load(cls, folder: Path) -> "Gallery":
        """Read a gallery.

        Raises:
            DataError: it does not exist, or a file of it is missing, damaged or does not fit the others.
        """
        if not folder.exists() and former_folder(folder).is_dir():
            # A save was interrupted between its two renames.
            former_folder(folder).rename(folder)
        if not (folder / "gallery.json").is_file():
            raise DataError(f"'{folder}' holds no gallery; make one: vireid search index IMAGES --index {folder}")
        try:
            note = json.loads((folder / "gallery.json").read_text(encoding="utf-8"))
            found = cls(note["width"], note["made_by"])
            found.vectors = np.load(folder / "vectors.npy", allow_pickle=False)
            found.numbers = np.asarray(note["numbers"], np.int64)
            entries = [Entry(**entry) for entry in note["entries"]]
            found.entries = dict(zip(note["numbers"], entries, strict=True))
            found.kind, found.effort = IndexKind(note["kind"]), note["effort"]
            found.recall, found.next_number = note["recall@10"], note["next_number"]
            if found.kind is not IndexKind.FLAT:
                found._index = faiss.read_index(str(folder / "gallery.faiss"))
                set_effort(found._index, found.effort)
        except (OSError, ValueError, KeyError, TypeError, EOFError, RuntimeError) as error:
            raise DataError(
                f"the gallery '{folder}' is damaged ({error}); delete it and index the images anew"
            ) from None
        if found.vectors.shape != (len(found.entries), found.width):
            raise DataError(
                f"the gallery '{folder}' is damaged: {len(found.entries)} images and vectors {found.vectors.shape}; "
                "delete it and index the images anew"
            )
        return found


def require_room(folder: Path) -> None:
    """Raise an error unless a gallery may be written there: to a gallery, an empty folder, or nothing.

    Raises:
        DataError: there is something else, which would be lost.
        ConfigError: the folder around it cannot be written.
    """
    if folder.exists() and not (folder.is_dir() and ((folder / "gallery.json").is_file() or not any(folder.iterdir()))):
        raise DataError(f"'{folder}' is there and is no gallery: writing one would replace it. Name another folder")
    make_folder(folder.parent, "the gallery")


def former_folder(folder: Path) -> Path:
    """Return where the old gallery is while a new one takes its place."""
    return folder.with_name(folder.name + ".former")


def update(
    gallery: Gallery,
    files: Sequence[Path],
    modality_of: Callable[[Path], int],
    embed: Callable[..., Vectors],
    batch: int,
) -> tuple[int, int]:
    """Add the files that are not in a gallery, or have changed since.

    Args:
        gallery: takes them.
        files: images.
        modality_of: tells a file's modality.
        embed: called with a list of files and the list of their modalities.
        batch: files at a time.

    Returns:
        how many were added, and how many were there already.
    """
    known = {entry.path: entry.stamp for entry in gallery.entries.values()}
    fresh = [file for file in files if known.get(str(file.absolute())) != entry_of(file, 0).stamp]
    entries: list[Entry] = []
    vectors: list[Vectors] = []
    for start in range(0, len(fresh), batch):
        some = fresh[start : start + batch]
        modalities = [modality_of(file) for file in some]
        vectors.append(embed(some, modalities))
        entries += [entry_of(file, modality) for file, modality in zip(some, modalities, strict=True)]
    if entries:
        gallery.add(entries, np.concatenate(vectors))
    return len(entries), len(files) - len(fresh)


def digest_of(file: Path) -> str:
    """Return the SHA-256 of a file: which weights made the features of a gallery."""
    with file.open("rb") as stream:
        digest = hashlib.sha256()
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
