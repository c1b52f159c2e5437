"""What a service tells of the images of its gallery, and their pictures.

An image is named by the digest of its content, not by its path: only what is in the gallery is found, whatever a client
asks for. A picture is shown only while its file has that content. In a gallery of tracks all images of a track are
found, not only the one that stands for it.
"""

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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
from vireid_plugins.search.service.opened import Opened
from vireid_plugins.search.service.refusal import RefusedError
from vireid_plugins.search.tracks import Track, count_frames, frames_of_track, track_of

# Largest file of an image that is shown, bytes.
LARGEST = 256 * 2**20


class Catalog:
    """The images of a gallery, by digest; for any thread.

    Args:
        opened: the gallery, which nobody else uses.
    """

    def __init__(self, opened: Opened) -> None:
        self._opened, self._lock = opened, threading.Lock()

    @property
    def folder(self) -> Path:
        """Folder of the gallery."""
        return self._opened.folder

    def close(self) -> None:
        """Close the gallery."""
        with self._lock:
            self._opened.close()

    def entry(self, digest: str) -> Record:
        """Return an image with a digest that a search may find.

        Raises:
            RefusedError: the gallery has none.
        """
        with self._gallery() as gallery:
            return _some(_with_digest(gallery, digest), digest)[0]

    def copies(self, digest: str) -> list[Record]:
        """Return the images with a digest, those that a search may find first; none if the gallery has none."""
        with self._gallery() as gallery:
            entries, frames = _with_digest(gallery, digest), self._opened.frames()
            keys = {one.key for one in entries}
            return entries + [one for one in _with_digest(frames, digest) if one.key not in keys]

    def find(self, digest: str) -> list[Record]:
        """Return the images with a digest, at least one; see `copies`.

        Raises:
            RefusedError: the gallery has none.
        """
        return _some(self.copies(digest), digest)

    def query(self, digest: str) -> tuple[Record, Vectors]:
        """Return an image with a digest, and its vector (D,).

        Raises:
            RefusedError: the gallery has none.
        """
        with self._gallery() as gallery:
            for one in filter(None, (gallery, self._opened.frames())):
                for record in _with_digest(one, digest):
                    try:
                        vector: Vectors = one.engine.vectors([record.key])[0]
                    except DataError:
                        # Either it has just been removed, or the gallery is damaged.
                        if record in _with_digest(one, digest):
                            raise
                        continue
                    return record, vector
        raise _unknown(digest)

    def tracks(self, digest: str) -> frozenset[Track]:
        """Return the tracks of the images with a digest; none in a gallery without tracks."""
        with self._gallery():
            found = {track_of(one) for one in _with_digest(self._opened.frames(), digest)}
        return frozenset(one for one in found if one is not None)

    def frames(self, digest: str) -> list[Record]:
        """Return the images of the tracks of an image, in the order of their times.

        Raises:
            RefusedError: the gallery has no image with the digest.
        """
        tracks = {track_of(one): None for one in self.find(digest)}
        with self._gallery():
            frames = self._opened.frames()
            if frames is None:
                return []
            return [one for track in tracks if track is not None for one in frames_of_track(frames, track)]

    def some(self, start: int, count: int, where: Where | None) -> tuple[list[Record], int]:
        """Return some of the images that pass a filter, and how many pass."""
        with self._gallery() as gallery:
            return gallery.engine.some(start, count, where), gallery.engine.count(where)

    def thresholds(self) -> Thresholds | None:
        """Return the thresholds of the gallery; None if it was never calibrated."""
        with self._gallery() as gallery:
            return thresholds_of(gallery)

    def summary(self) -> dict[str, Any]:
        """Return what there is to search, in words and numbers."""
        with self._gallery() as gallery:
            known, frames = gallery.engine.known(), self._opened.frames()
            total = 0 if frames is None else frames.engine.count()
        named = dict(zip(MODALITIES.values(), known.counts, strict=True))
        return {"images": sum(known.counts), **named, "frames": total, **known.as_json()}

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
            told = {"id": record.digest, "name": named(record.key), "modality": MODALITIES[record.modality]}
            facts = facts_of(record)
            facts["columns"] = {name: _without_folder(value) for name, value in facts["columns"].items()}
            return {**told, **facts, "frames": self._frames(record)}

        return told

    def _frames(self, record: Record) -> int:
        """Return how many images the track of an image has; 0 if it has none."""
        track = track_of(record)
        if track is None:
            return 0
        with self._lock:
            frames = self._opened.frames()
            return 0 if frames is None else count_frames(frames, track)

    def _tops(self) -> list[str]:
        """Return the indexed folders, and those linked from them, as they are now."""
        with self._gallery() as gallery:
            gallery.refresh()
            return [top for tops in gallery.folders.values() for top in tops]

    @contextmanager
    def _gallery(self) -> Iterator[Gallery]:
        with self._lock:
            yield self._opened.gallery()


def _without_folder(value: Any) -> Any:
    """Return the value of a column; of a path of this machine, such as the video of a crop, its name alone."""
    path = PurePath(value) if isinstance(value, str) else None
    return path.name if path is not None and path.is_absolute() else value


def _with_digest(gallery: Gallery | None, digest: str) -> list[Record]:
    """Return the images of a gallery with a digest, by path."""
    found = [] if gallery is None else gallery.records(Where((Condition("digest", "=", digest),)))
    return sorted(found, key=lambda one: one.key)


def _some(records: list[Record], digest: str) -> list[Record]:
    if not records:
        raise _unknown(digest)
    return records


def _unknown(digest: str) -> RefusedError:
    return RefusedError(404, f"the index has no image with the id {digest}")


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
