"""A gallery of your own images: an index on disk to which images can be added and from which they can be removed.

The folder contains `vectors.npy` (n, D) float32, `gallery.faiss` (unless the index is flat) and `gallery.json`: the
images with their numbers and modalities, the model that made the features, and the kind and measured recall of the
index. A gallery is written to a new folder that then replaces the old one, so an interrupted save loses nothing.
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

from vireid_plugins.data.decode import SEARCH_SUFFIXES as SUFFIXES
from vireid_plugins.errors import DataError
from vireid_plugins.io.files import for_writing, make_folder, write_bytes, write_json
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


@dataclass(frozen=True)
class Entry:
    """An image of a gallery.

    Attributes:
        path: of the file.
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


def image_files(folder: Path) -> list[Path]:
    """Return the images below a folder, sorted, or the file itself if `folder` is a file.

    Raises:
        DataError: the folder does not exist or contains no image.
    """
    if folder.is_file():
        return [folder]
    images = sorted(f for f in folder.rglob("*") if f.suffix.lower() in SUFFIXES) if folder.is_dir() else []
    if not images:
        problem = "contains no image" if folder.is_dir() else "does not exist"
        raise DataError(f"'{folder}' {problem}; images end in {', '.join(SUFFIXES)}")
    return images


def entry_of(file: Path, modality: int) -> Entry:
    """Return the entry of a file in its current state."""
    status = file.stat()
    return Entry(str(file.absolute()), modality, f"{status.st_size} {status.st_mtime_ns}")


class Gallery:
    """Images, their features, and the index over them.

    Args:
        width: width of the features, D.
        made_by: the model that made the features; queries must come from the same model.
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
            DataError: the shape of the vectors is not (n, D).
        """
        if vectors.shape != (len(entries), self.width):
            raise DataError(f"vectors must be ({len(entries)}, {self.width}) for this gallery; got {vectors.shape}")
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
            DataError: the gallery is empty, or the shape of the queries is not (Q, D).
        """
        if not len(self):
            raise DataError("the gallery is empty; add images first")
        if queries.ndim != 2 or queries.shape[1] != self.width:
            raise DataError(f"queries must be (Q, {self.width}) for this gallery; got {queries.shape}")
        top = min(top, len(self))
        similarities, numbers = search(self.index, queries, top, (self.vectors, self.numbers))
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
        """Write the gallery to a folder, replacing the gallery that it contains.

        Raises:
            DataError: the folder exists and is not a gallery.
        """
        require_room(folder)
        index = self.index
        fresh = folder.with_name(folder.name + ".partial")
        try:
            with for_writing(folder):
                self._write(fresh, index)
                former = former_folder(folder)
                shutil.rmtree(former, ignore_errors=True)
                if folder.exists():
                    folder.rename(former)
                fresh.rename(folder)
                shutil.rmtree(former, ignore_errors=True)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)

    def _write(self, folder: Path, index: Any) -> None:
        """Write the gallery's files to a new folder."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        np.save(folder / "vectors.npy", self.vectors)
        if self.kind is not IndexKind.FLAT:
            # faiss reports a full disk as a RuntimeError without the system's reason.
            write_bytes(folder / "gallery.faiss", faiss.serialize_index(index).tobytes())
        content = {
            "width": self.width,
            "made_by": self.made_by,
            "kind": self.kind.value,
            "effort": self.effort,
            "recall@10": self.recall,
            "next_number": self.next_number,
            "numbers": self.numbers.tolist(),
            "entries": [asdict(self.entries[number]) for number in self.numbers.tolist()],
        }
        write_json(folder / "gallery.json", content)

    @classmethod
    def load(cls, folder: Path) -> "Gallery":
        """Read a gallery.

        Raises:
            DataError: the gallery does not exist, or a file is missing, damaged or inconsistent with the others.
        """
        if not folder.exists() and former_folder(folder).is_dir():
            # A save was interrupted between its two renames.
            former_folder(folder).rename(folder)
        if not (folder / "gallery.json").is_file():
            raise DataError(f"'{folder}' is not a gallery; create one: vireid search index IMAGES --index {folder}")
        try:
            content = json.loads((folder / "gallery.json").read_text(encoding="utf-8"))
            gallery = cls(content["width"], content["made_by"])
            gallery.vectors = np.load(folder / "vectors.npy", allow_pickle=False)
            gallery.numbers = np.asarray(content["numbers"], np.int64)
            entries = [Entry(**entry) for entry in content["entries"]]
            gallery.entries = dict(zip(content["numbers"], entries, strict=True))
            gallery.kind, gallery.effort = IndexKind(content["kind"]), content["effort"]
            gallery.recall, gallery.next_number = content["recall@10"], content["next_number"]
            if gallery.kind is not IndexKind.FLAT:
                gallery._index = faiss.read_index(str(folder / "gallery.faiss"))
                set_effort(gallery._index, gallery.effort)
        except (OSError, ValueError, KeyError, TypeError, EOFError, RuntimeError) as error:
            raise DataError(
                f"the gallery '{folder}' is damaged ({error}); delete it and index the images again"
            ) from None
        if gallery.vectors.shape != (len(gallery.entries), gallery.width):
            raise DataError(
                f"the gallery '{folder}' is damaged: {len(gallery.entries)} images, but vectors of shape "
                f"{gallery.vectors.shape}; delete it and index the images again"
            )
        return gallery


def require_room(folder: Path) -> None:
    """Raise an error unless a gallery can be written to a folder: it is a gallery, empty, or does not exist.

    Raises:
        DataError: the folder exists and is not a gallery.
        ConfigError: the parent folder cannot be written to.
    """
    if folder.exists() and not (folder.is_dir() and ((folder / "gallery.json").is_file() or not any(folder.iterdir()))):
        raise DataError(f"'{folder}' exists and is not a gallery; refusing to overwrite it. Choose another folder")
    make_folder(folder.parent, "the gallery")


def former_folder(folder: Path) -> Path:
    """Return the path to which the old gallery is moved while a new one replaces it."""
    return folder.with_name(folder.name + ".former")


def update(
    gallery: Gallery,
    files: Sequence[Path],
    modality_of: Callable[[Path], int],
    embed: Callable[..., Vectors],
    batch: int,
) -> tuple[int, int]:
    """Add the files that are not in a gallery or have changed since they were added.

    Args:
        gallery: the gallery to add them to.
        files: image files.
        modality_of: returns the modality of a file.
        embed: returns the features of a list of files, given the list of their modalities.
        batch: number of files per call of `embed`.

    Returns:
        the number of added files and the number of unchanged ones.
    """
    stamps = {entry.path: entry.stamp for entry in gallery.entries.values()}
    changed = [file for file in files if stamps.get(str(file.absolute())) != entry_of(file, 0).stamp]
    entries: list[Entry] = []
    vectors: list[Vectors] = []
    for start in range(0, len(changed), batch):
        chunk = changed[start : start + batch]
        modalities = [modality_of(file) for file in chunk]
        vectors.append(embed(chunk, modalities))
        entries += [entry_of(file, modality) for file, modality in zip(chunk, modalities, strict=True)]
    if entries:
        gallery.add(entries, np.concatenate(vectors))
    return len(entries), len(files) - len(changed)


def digest_of(file: Path) -> str:
    """Return the SHA-256 of a file."""
    with file.open("rb") as stream:
        digest = hashlib.sha256()
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
