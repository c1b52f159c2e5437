"""What a service tells of the images of its gallery, and their pictures.

An image is named by the digest of its content, not by its path: only what is in the gallery is found, whatever a client
asks for. A picture is shown only while its file has that content.
"""

import hashlib
import threading
from collections.abc import Callable, Sequence
from pathlib import Path, PurePath
from typing import Any

from vireid_plugins.data.datasets.base import MODALITIES
from vireid_plugins.errors import DataError
from vireid_plugins.io.regular import read_bytes
from vireid_plugins.search.answers import facts_of
from vireid_plugins.search.calibration import Thresholds, thresholds_of
from vireid_plugins.search.engines import Condition, Record, Where
from vireid_plugins.search.engines.base import Vectors
from vireid_plugins.search.engines.where import below
from vireid_plugins.search.gallery import Gallery
from vireid_plugins.search.known import Known
from vireid_plugins.search.service.refusal import RefusedError

# Largest file of an image that is shown, bytes.
LARGEST = 256 * 2**20


class Catalog:
    """The images of a gallery, by digest; for any thread.

    Args:
        gallery: the gallery, which nobody else uses.
    """

    def __init__(self, gallery: Gallery) -> None:
        self.gallery, self._lock = gallery, threading.Lock()
        self._known: tuple[int, Known] | None = None

    @property
    def folder(self) -> Path:
        """Folder of the gallery."""
        return self.gallery.folder

    def copies(self, digest: str) -> list[Record]:
        """Return the images with a digest, by path; none if the gallery has none."""
        with self._lock:
            found = self.gallery.records(Where((Condition("digest", "=", digest),)))
        return sorted(found, key=lambda one: one.key)

    def find(self, digest: str) -> list[Record]:
        """Return the images with a digest, at least one.

        Raises:
            RefusedError: the gallery has none.
        """
        found = self.copies(digest)
        if not found:
            raise RefusedError(404, f"the index has no image with the id {digest}")
        return found

    def count(self, where: Where | None) -> int:
        """Return how many images pass a filter."""
        with self._lock:
            return self.gallery.engine.count(where)

    def some(self, start: int, count: int, where: Where | None) -> tuple[list[Record], int]:
        """Return some of the images that pass a filter, and how many pass."""
        with self._lock:
            return self.gallery.engine.some(start, count, where), self.gallery.engine.count(where)

    def vector(self, record: Record) -> Vectors:
        """Return the vector (D,) of an image.

        Raises:
            DataError: it has just been removed.
        """
        with self._lock:
            vector: Vectors = self.gallery.engine.vectors([record.key])[0]
        return vector

    def thresholds(self) -> Thresholds | None:
        """Return the thresholds of the gallery; None if it was never calibrated."""
        with self._lock:
            return thresholds_of(self.gallery)

    def summary(self) -> dict[str, Any]:
        """Return what there is to search, in words and numbers."""
        with self._lock:
            engine = self.gallery.engine
            counts = [engine.count(Where((Condition("modality", "=", number),))) for number in range(len(MODALITIES))]
            # All images are read for it, which a change of facts alone is not worth.
            if self._known is None or self._known[0] != sum(counts):
                self._known = sum(counts), Known.of(engine.records())
        known = self._known[1]
        named = {MODALITIES[number]: count for number, count in enumerate(counts)}
        return {"images": sum(counts), **named, **known.as_json()}

    def folders(self, text: str) -> list[str]:
        """Return the paths that a folder of `teller` may have; a path of the system stands for itself."""
        if PurePath(text).is_absolute():
            return [text]
        return sorted({str(PurePath(top).parent / text) for top in self._tops()})

    def teller(self) -> Callable[[Record], dict[str, Any]]:
        """Return a function that returns what a client is told of an image.

        It is named by its path below the indexed folder that it is in, that folder's own name included.
        """
        tops = self._tops()

        def named(path: str) -> str:
            inside = [top for top in tops if below(path, top)]
            top = max(inside, key=len, default=path)
            return PurePath(path).relative_to(PurePath(top).parent).as_posix()

        def told(record: Record) -> dict[str, Any]:
            modality = MODALITIES[record.modality]
            return {"id": record.digest, "name": named(record.key), "modality": modality, **facts_of(record)}

        return told

    def _tops(self) -> list[str]:
        """Return the indexed folders, and those linked from them, as they are now."""
        with self._lock:
            self.gallery.refresh()
            return [top for tops in self.gallery.folders.values() for top in tops]


def content_of(records: Sequence[Record]) -> bytes:
    """Return the content of the first of some images of one digest whose file still has it.

    Raises:
        DataError: no file has it.
    """
    for record in records:
        try:
            data = read_bytes(record.key, LARGEST)
        except OSError:
            continue
        if hashlib.sha256(data).hexdigest() == record.digest:
            return data
    raise DataError("the image's file is gone or has changed since it was indexed; index its folder again")
