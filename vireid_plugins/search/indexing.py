"""Index a folder of images, or update its index; the implementation of `vireid search index` and `remove`."""

import functools
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vireid_plugins.data.datasets.base import MODALITIES
from vireid_plugins.data.modality_guess import SURE
from vireid_plugins.data.thermal import reporting
from vireid_plugins.errors import DataError
from vireid_plugins.io.regular import sha256_of
from vireid_plugins.search.embedding import embedded, not_read
from vireid_plugins.search.engines import Kind, Record
from vireid_plugins.search.engines.base import Vectors
from vireid_plugins.search.extractor import Extractor
from vireid_plugins.search.gallery import Gallery, open_gallery
from vireid_plugins.search.gallery_folder import SHARDS, writing
from vireid_plugins.search.images import Folder, Found, Unread, find_images
from vireid_plugins.search.marks import forget
from vireid_plugins.search.metadata import Metadata
from vireid_plugins.search.modality import modality_teller
from vireid_plugins.search.model_of import made_by, require_same
from vireid_plugins.search.moved import is_folder, one_spelling

# What is lost if the process is killed: at most so many images, and at most so many seconds of work.
SAVED_IMAGES, SAVED_SECONDS = 2048, 60.0
# What tells modalities by names looks at no pixels.
_NONE = np.zeros((0, 0, 3), np.uint8)


@dataclass
class Indexed:
    """What became of a gallery.

    Attributes:
        total: number of images that it has now.
        entries: number of entries of a gallery of tracks; None for one of images.
        counts: numbers of images by what became of them: `added`, `copied` (their content was known), `described` (only
            their metadata changed), `unchanged` and `removed`.
        unsure: the images whose modality is unsure; each has the likelier one.
        unread: what could not be read; it was neither added nor removed.
        left_out: numbers of files of other endings.
        moved: numbers of images of the gallery from folders that no longer exist, by folder.
        unknown: the paths that the metadata names and that are no image of the folder.
    """

    total: int = 0
    entries: int | None = None
    counts: Counter[str] = field(default_factory=Counter)
    unsure: list[str] = field(default_factory=list)
    unread: list[Unread] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    moved: dict[str, int] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)


@reporting()
def index_images(
    extractor: Extractor,
    folder: Path,
    target: Path,
    way: str,
    report: Callable[[int, int], Any] | None = None,
    *,
    metadata: Metadata | None = None,
    kind: Kind | None = None,
    links: bool = True,
    shards: Sequence[Gallery] = (),
) -> Indexed:
    """Create a gallery of the images in a folder, or update an existing one.

    New and changed images are added; images that have disappeared from the folder are removed. An image whose content
    is in the gallery already, such as a moved one, is not computed again. Images that cannot be read are passed over
    and returned; so is a folder that cannot be read or looks unmounted, whose images stay. If it is interrupted or
    killed, the gallery has the images that were done, and the next call does the others.

    Args:
        extractor: makes the vectors.
        folder: folder of images, or one image.
        target: folder of the gallery.
        way: how modalities are determined, one of WAYS.
        report: called with the number of processed images and of all images.
        metadata: what is known of the images besides; by default what the `crops.csv` of their folders says.
        kind: the engine of a new gallery; by default faiss.
        links: follow linked folders.
        shards: galleries of the same model, from which vectors of known content are taken
            (`vireid_plugins.search.shards`).

    Raises:
        DataError: there is no image or none can be read, the existing gallery was made by another model or is being
            written by another process, or `target` is not a gallery.
        ConfigError: `target` cannot be written, or its engine is not `kind`.
    """
    tell = modality_teller(way, folder)
    with writing(target, patience=0):
        model = made_by(extractor)
        former = open_gallery(target)
        work = Work(former, model, target, kind or Kind())
        try:
            if former is not None:
                require_same(former, model, target)
                work.kind.require_same(former.engine, target)
            found = _find(folder, former, target, links)
            if way == "folder":
                # Before the first of what may be hours.
                for image in found.images:
                    tell(image.file, _NONE)
            metadata = Metadata.beside(found.images) if metadata is None else metadata
            there = {image.path for image in found.images} | {one.path for one in found.unread}
            unknown = sorted(metadata.facts.keys() - there) if folder.is_dir() else []
            done = Indexed(unread=found.unread, left_out=found.left_out, unknown=unknown)
            try:
                add_images(work, extractor, found, way, folder, done, metadata, report, shards)
            finally:
                work.write()
            if work.gallery is None:
                raise DataError(f"no image in '{folder}' can be read: {not_read(found.unread)}")
            _settle(work.gallery, folder, found, done)
            done.total, done.moved = len(work.gallery), _moved(work.gallery)
        finally:
            if work.gallery is not None:
                work.gallery.close()
    return done


class Work:
    """The gallery as it grows, and images that are not written yet."""

    def __init__(self, gallery: Gallery | None, model: dict[str, str], target: Path, kind: Kind) -> None:
        self.gallery, self.model, self.target, self.kind = gallery, model, target, kind
        self.records: list[Record] = []
        self.vectors: list[Vectors] = []
        self.since = time.monotonic()

    def add(self, records: Sequence[Record], vectors: Vectors) -> None:
        """Keep images for the next write, and write if there are many."""
        self.records += records
        self.vectors.append(vectors)
        if len(self.records) >= SAVED_IMAGES or time.monotonic() - self.since >= SAVED_SECONDS:
            self.write()

    def write(self) -> None:
        """Write what has not been written."""
        if self.records:
            vectors = np.concatenate(self.vectors)
            if self.gallery is None:
                self.gallery = Gallery.create(self.target, vectors.shape[1], self.model, self.kind)
            self.gallery.add(self.records, vectors)
        self.records, self.vectors, self.since = [], [], time.monotonic()


def add_images(
    work: Work,
    extractor: Extractor,
    found: Folder,
    way: str,
    folder: Path,
    done: Indexed,
    metadata: Metadata,
    report: Callable[[int, int], Any] | None,
    shards: Sequence[Gallery] = (),
) -> None:
    """Add what is new or has changed among the images that were found.

    Args:
        work: the gallery, which the images are added to.
        extractor: makes the vectors.
        found: the images.
        way: how modalities are determined, one of WAYS.
        folder: the folder of the images.
        done: gets what became of them.
        metadata: what is known of them besides.
        report: called with the number of processed images and of all images.
        shards: galleries from which vectors of known content are taken.
    """
    tell = modality_teller(way, folder)
    known = {} if work.gallery is None else {one.key: one for one in work.gallery.records()}
    by_digest: dict[str, tuple[Record, Gallery | None]] = {
        one.digest: (one, shard) for shard in shards for one in shard.records()
    }
    # None is the gallery itself, which may not exist yet.
    by_digest |= {one.digest: (one, None) for one in known.values() if one.digest}

    def agrees(image: Found, record: Record) -> bool:
        return way == "auto" or tell(image.file, _NONE)[0] == record.modality

    new, copies = _sorted_out(found.images, known, by_digest, agrees, metadata, done)
    for start in range(0, len(copies), SAVED_IMAGES):
        part = copies[start : start + SAVED_IMAGES]
        work.add([one.record for one in part], _copied(part, work.gallery))
    for batch in embedded(extractor, list(new), tell, done.unread, report):
        records = [
            Record(image.path, modality, image.stamp, new[image], **_facts(metadata, image, known))
            for image, (modality, _) in zip(batch.images, batch.guesses, strict=True)
        ]
        work.add(records, batch.vectors)
        done.counts["added"] += len(records)
        done.unsure += [
            f"{image.file}: indexed as {MODALITIES[modality]}"
            for image, (modality, certainty) in zip(batch.images, batch.guesses, strict=True)
            if certainty < SURE
        ]


class _Copy(NamedTuple):
    """A record, with the gallery and the key that its vector has there; None is the gallery it is added to."""

    record: Record
    source: Gallery | None
    key: str


def _sorted_out(
    images: Sequence[Found],
    known: Mapping[str, Record],
    by_digest: Mapping[str, tuple[Record, Gallery | None]],
    agrees: Callable[[Found, Record], bool],
    metadata: Metadata,
    done: Indexed,
) -> tuple[dict[Found, str], list[_Copy]]:
    """Return the images to be embedded, with their digests, and those whose vectors are known; count the others."""
    new: dict[Found, str] = {}
    copies: list[_Copy] = []
    for image in images:
        former = known.get(image.path)
        if former is not None and not agrees(image, former):
            # Its modality was guessed, and is given now.
            former = None
        facts = _facts(metadata, image, known)
        if former is not None and former.stamp == image.stamp and former.digest:
            now = replace(former, **facts) if metadata else former
            done.counts["unchanged" if now == former else "described"] += 1
            if now != former:
                copies.append(_Copy(now, None, former.key))
            continue
        try:
            digest = sha256_of(image.file)
        except OSError as error:
            done.unread.append(Unread(image.file, image.path, error.strerror or str(error)))
            continue
        if former is not None and former.stamp == image.stamp:
            # Of an earlier release, which kept no digests.
            done.counts["unchanged"] += 1
            copies.append(_Copy(replace(former, digest=digest, **facts), None, former.key))
        elif digest in by_digest and agrees(image, by_digest[digest][0]):
            same, source = by_digest[digest]
            done.counts["copied" if source is None else "added"] += 1
            copies.append(_Copy(Record(image.path, same.modality, image.stamp, digest, **facts), source, same.key))
        else:
            new[image] = digest
    return new, copies


def _copied(copies: Sequence[_Copy], gallery: Gallery | None) -> Vectors:
    """Return the vectors (n, D) of copies, each from the gallery that has it."""
    vectors: dict[int, Vectors] = {}
    for source in {one.source for one in copies}:
        rows = [row for row, one in enumerate(copies) if one.source is source]
        known = source or gallery
        assert known is not None
        vectors |= dict(zip(rows, known.engine.vectors([copies[row].key for row in rows]), strict=True))
    return np.stack([vectors[row] for row in range(len(copies))])


def _facts(metadata: Metadata, image: Found, known: Mapping[str, Record]) -> dict[str, Any]:
    """Return what is known of an image; without metadata, what was known of it."""
    if metadata.speaks_of(image) or image.path not in known:
        return metadata.of(image)
    former = known[image.path]
    return {name: getattr(former, name) for name in ("camera", "time", "track", "extra")}


def _settle(gallery: Gallery, folder: Path, found: Folder, done: Indexed) -> None:
    """Remove what is gone, and remember the folder."""
    root = os.path.realpath(folder)
    folders = dict(gallery.folders)
    if folder.is_dir():
        if gone := _gone(gallery, root, found):
            done.counts["removed"] = gallery.remove(gone)
        unreadable = _below({os.path.realpath(one.file) for one in found.unread})
        kept = [top for top in gallery.folders.get(root, []) if unreadable(top)]
        folders[root] = sorted({*found.tops, *kept})
    gallery.keep(gallery.made_by, folders)


def remove_images(target: Path, images: Path, marked: Path | None = None) -> tuple[int, int]:
    """Remove an image, or all images below a folder and the linked folders in it, from a gallery and from its marks.

    Args:
        target: folder of the gallery.
        images: any spelling of the path of an image or a folder, which need not exist any more.
        marked: folder with the marks of the images; by default `target`.

    Returns:
        the numbers of removed images and of those left.

    Raises:
        DataError: the gallery has no image there, cannot be read, or is being written by another process.
        ConfigError: the gallery cannot be written.
    """
    with Gallery.load(target) as gallery:
        # Vectors of images that a stopped call of several processes has left; `index` makes them again.
        shutil.rmtree(target / SHARDS, ignore_errors=True)
        spellings = {one_spelling(images), os.path.realpath(images), str(images.absolute())}
        folders = dict(gallery.folders)
        for root in spellings & set(folders):
            spellings |= {top for top in folders.pop(root) if top not in folders}
        keys = [one.key for one in gallery.records()]
        gone = list(filter(_below(spellings), keys))
        if not gone:
            raise DataError(f"'{images}': the gallery '{target}' has no image there")
        with writing(target):
            # First: what is left of a call that was killed, the next one finds.
            forget(marked or target, gone)
            removed = gallery.remove(gone)
            gallery.keep(gallery.made_by, folders)
        return removed, len(gallery)


def _find(folder: Path, former: Gallery | None, target: Path, links: bool) -> Folder:
    """Return what a folder contains, and as not read also linked folders that look unmounted.

    Raises:
        DataError: it does not exist, cannot be read, or contains no image.
    """
    try:
        found = find_images(folder, links)
    except DataError as error:
        count = 0 if former is None else _count(former, os.path.realpath(folder))
        if not count:
            raise
        raise DataError(
            f"{error}. The gallery has {count} images from there, and they stay; if they are gone for good: vireid "
            f"search remove {folder} --index {target}"
        ) from None
    for top in found.tops:
        count = 0 if former is None else _count(former, top)
        if count and not any(Path(top).iterdir()):
            reason = f"it is empty, but the gallery has {count} images from there; is it mounted?"
            found.unread.append(Unread(Path(top), top, reason))
    return found


def _gone(gallery: Gallery, root: str, found: Folder) -> list[str]:
    """Return the keys of a gallery's images that have disappeared from a folder."""
    present = {image.path for image in found.images} | {one.path for one in found.unread}
    kept = {one.path for one in found.unread} | {os.path.realpath(one.file) for one in found.unread}
    tops = set(found.tops)
    # Folders that were linked here once; what other folders hold too stays.
    elsewhere = {top for other, its in gallery.folders.items() if other != root for top in its} - tops
    unlinked = set(gallery.folders.get(root, [])) - tops - elsewhere
    in_folder, in_kept = _below(tops | unlinked), _below(kept)
    keys = [one.key for one in gallery.records()]
    return [key for key in keys if key not in present and in_folder(key) and not in_kept(key)]


def _below(folders: set[str]) -> Callable[[str], bool]:
    """Return a function that tells whether a path is one of some paths, or below one; images of a folder are fast."""

    @functools.cache
    def inside(folder: str) -> bool:
        return folder in folders or (bool(folder) and inside(folder.rpartition(os.sep)[0]))

    return lambda path: path in folders or inside(path.rpartition(os.sep)[0])


def _count(gallery: Gallery, folder: str) -> int:
    return sum(map(_below({folder}), [one.key for one in gallery.records()]))


def _moved(gallery: Gallery) -> dict[str, int]:
    """Return the number of images from each indexed folder that no longer exists."""
    gone = [root for root in gallery.folders if not is_folder(root)]
    return {root: count for root in gone if (count := _count(gallery, root))}
