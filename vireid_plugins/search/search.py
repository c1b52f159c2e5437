"""Index folders of images, update an index, and search it; the implementation of `vireid search`."""

import functools
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vireid_plugins.data.batch import INFRARED, VISIBLE
from vireid_plugins.data.datasets.base import MODALITIES
from vireid_plugins.data.modality_guess import guess_modality
from vireid_plugins.data.thermal import reporting
from vireid_plugins.errors import DataError, require_name
from vireid_plugins.io.files import write_or_keep
from vireid_plugins.search.extractor import NAMES, Extractor
from vireid_plugins.search.gallery import Entry, Gallery, Hit, open_gallery
from vireid_plugins.search.gallery_files import writing
from vireid_plugins.search.images import Folder, Found, Unread, find_images
from vireid_plugins.search.index import Vectors
from vireid_plugins.search.model_of import made_by, require_same
from vireid_plugins.search.moved import is_folder, one_spelling

# Words in a folder's name that identify the modality of its images.
FOLDERS = {
    VISIBLE: ("visible", "vis", "rgb", "colour", "color", "day"),
    INFRARED: ("infrared", "ir", "nir", "thermal", "tir", "night"),
}
WAYS = (*NAMES, "folder", "auto")
# Queries that are searched together: a gallery is read once for all of them.
SEARCHED = 512
# Guesses of less than this probability are reported.
UNSURE = 0.9


Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Indexed:
    """What became of a gallery.

    Attributes:
        gallery: the gallery.
        counts: numbers of added, unchanged and removed images.
        unsure: the images whose guessed modality is uncertain.
        unread: what could not be read; it was neither added nor removed.
        left_out: numbers of files of other endings.
        moved: numbers of images of the gallery from folders that no longer exist, by folder.
    """

    gallery: Gallery
    counts: dict[str, int]
    unsure: list[str]
    unread: list[Unread]
    left_out: Counter[str]
    moved: dict[str, int]


class QueryResult(NamedTuple):
    """A query, its modality, the probability of that modality (1 unless it was guessed), and its hits."""

    query: str
    modality: int
    probability: float
    hits: list[Hit]


def modality_by_folder(file: Path, root: Path) -> int:
    """Return the modality that is in the name of a folder on the path from `root`, inclusive, to a file.

    Raises:
        DataError: no folder names a modality, or two folders name different ones.
    """
    parts = [part.lower() for part in (root.name, *file.relative_to(root).parts[:-1])]
    words = {word for part in parts for word in part.replace("-", "_").split("_")}
    named = [modality for modality, names in FOLDERS.items() if words & set(names)]
    if len(named) != 1:
        accepted = "; ".join(f"{MODALITIES[m]}: {', '.join(names)}" for m, names in FOLDERS.items())
        problem = "folder names of both modalities" if named else "no folder name of a modality"
        raise DataError(f"'{file}': its path has {problem}; folder names are {accepted}")
    return named[0]


def modality_teller(way: str, root: Path) -> Callable[[Path, Pixels], tuple[int, float]]:
    """Return a function from a file and its pixels to its modality and the probability of that modality.

    Args:
        way: how modalities are determined, one of WAYS.
        root: the folder that is indexed or queried.

    Raises:
        ConfigError: `way` is unknown.
    """
    require_name("--modality", way, WAYS)
    if way == "folder":
        return lambda file, _: (modality_by_folder(file, root if root.is_dir() else root.parent), 1.0)
    if way == "auto":
        return lambda _, pixels: guess_modality(pixels)[:2]
    return lambda *_: (NAMES[way], 1.0)


@reporting()
def index_images(
    extractor: Extractor, folder: Path, target: Path, way: str, report: Callable[[int, int], Any] | None = None
) -> Indexed:
    """Create a gallery of the images in a folder, or update an existing one.

    New and changed images are added; images that have disappeared from the folder are removed. Images that cannot be
    read are passed over and returned; so is a folder that cannot be read or looks unmounted, whose images stay. If it
    is interrupted, the gallery has the images that were done.

    Args:
        extractor: makes the features.
        folder: folder of images, or one image.
        target: folder of the gallery.
        way: how modalities are determined, one of WAYS.
        report: called with the number of processed images and of all images.

    Raises:
        DataError: there is no image or none can be read, the existing gallery was made by another model or is being
            written by another process, or `target` is not a gallery.
        ConfigError: `target` cannot be written; the message says where the gallery is kept instead.
    """
    tell = modality_teller(way, folder)
    with writing(target, patience=0):
        model = made_by(extractor)
        former = open_gallery(target)
        if former is not None:
            require_same(former, model, target)
        found = _find(folder, former, target)
        stamps = {} if former is None else {entry.path: entry.stamp for entry in former.entries.values()}
        changed = [image for image in found.images if stamps.get(image.path) != image.stamp]
        if way == "folder":
            # Before the first of what may be hours.
            for image in changed:
                modality_by_folder(image.file, folder if folder.is_dir() else folder.parent)
        unsure: list[str] = []
        entries: list[Entry] = []
        vectors: list[Vectors] = []
        unread = found.unread
        try:
            for batch in _embedded(extractor, changed, tell, unread, report):
                entries += batch.entries
                vectors.append(batch.vectors)
                unsure += [
                    f"{image.file}: {MODALITIES[modality]}, {probability:.0%} sure"
                    for image, (modality, probability) in zip(batch.images, batch.guesses, strict=True)
                    if probability < UNSURE
                ]
        except KeyboardInterrupt:
            if entries:
                _changed(former, model, entries, vectors).save(target)
            raise
        if former is None and not entries:
            raise DataError(f"no image in '{folder}' can be read: {not_read(unread)}")
        gallery = _changed(former, model, entries, vectors)
        root = os.path.realpath(folder)
        gone = _gone(gallery, root, found) if folder.is_dir() else []
        removed = gallery.remove(gone)
        before = dict(gallery.folders)
        if folder.is_dir():
            unreadable = _below({os.path.realpath(one.file) for one in unread})
            kept = [top for top in gallery.folders.get(root, []) if unreadable(top)]
            gallery.folders[root] = sorted({*found.tops, *kept})
        if entries or removed or gallery.made_by != model or before != gallery.folders:
            gallery.made_by = model
            write_or_keep(target, gallery.save)
    counts = {"added": len(entries), "unchanged": len(found.images) - len(changed), "removed": removed}
    return Indexed(gallery, counts, unsure, unread, found.left_out, _moved(gallery))


@reporting()
def query_images(
    gallery: Gallery, extractor: Extractor, queries: Path, way: str, top: int
) -> tuple[list[QueryResult], list[Unread]]:
    """Return the nearest gallery images of one image, or of every image in a folder, and what could not be read.

    Args:
        gallery: the gallery to search.
        extractor: makes the queries' features.
        queries: an image or a folder.
        way: how modalities are determined, one of WAYS.
        top: number of hits per query.

    Raises:
        DataError: there is no image, or none can be read.
    """
    tell = modality_teller(way, queries)
    found = find_images(queries)
    results: list[QueryResult] = []
    for batches in _together(_embedded(extractor, found.images, tell, found.unread)):
        hits = iter(gallery.search(np.concatenate([batch.vectors for batch in batches]), top))
        for batch in batches:
            rows = zip(batch.images, batch.guesses, strict=True)
            results += [QueryResult(str(image.file), *guess, next(hits)) for image, guess in rows]
    if not results:
        raise DataError(not_read(found.unread))
    return results, found.unread


def remove_images(target: Path, images: Path) -> tuple[Gallery, int]:
    """Remove an image, or all images below a folder and the linked folders in it, from a gallery.

    Args:
        target: folder of the gallery.
        images: any spelling of the path of an image or a folder, which need not exist any more.

    Returns:
        the gallery and the number of removed images.

    Raises:
        DataError: the gallery has no image there, cannot be read, or is being written by another process.
        ConfigError: the gallery cannot be written.
    """
    # Nothing is locked, and no folder created, if there is nothing to remove.
    _remove(Gallery.load(target), target, images)
    with writing(target):
        gallery = Gallery.load(target)
        removed = _remove(gallery, target, images)
        gallery.save(target)
    return gallery, removed


def _remove(gallery: Gallery, target: Path, images: Path) -> int:
    """Remove images from a gallery in memory; see `remove_images`."""
    spellings = {one_spelling(images), os.path.realpath(images), str(images.absolute())}
    for root in spellings & set(gallery.folders):
        spellings |= {top for top in gallery.folders.pop(root) if top not in gallery.folders}
    removed = gallery.remove(filter(_below(spellings), [entry.path for entry in gallery.entries.values()]))
    if not removed:
        raise DataError(f"'{images}': the gallery '{target}' has no image there")
    return removed


def not_read(unread: Sequence[Unread], shown: int = 5) -> str:
    """Return a message that names what could not be read."""
    more = f"; and {len(unread) - shown} more" if len(unread) > shown else ""
    return "not read: " + "; ".join(str(one) for one in unread[:shown]) + more


class _Batch(NamedTuple):
    images: list[Found]
    guesses: list[tuple[int, float]]
    entries: list[Entry]
    vectors: Vectors


def _embedded(
    extractor: Extractor,
    images: Sequence[Found],
    tell: Callable[[Path, Pixels], tuple[int, float]],
    unread: list[Unread],
    report: Callable[[int, int], Any] | None = None,
) -> Iterator[_Batch]:
    """Yield the images with their features, batch by batch; images that cannot be read are added to `unread`."""
    for start in range(0, len(images), extractor.batch):
        chunk = images[start : start + extractor.batch]
        read: list[Found] = []
        pixels: list[Pixels] = []
        for image in chunk:
            try:
                pixels.append(extractor.pixels(image.file))
                read.append(image)
            except DataError as error:
                reason = str(error.args[0]).removeprefix(f"image '{image.file}' cannot be read: ")
                unread.append(Unread(image.file, image.path, reason))
        if read:
            guesses = [tell(image.file, picture) for image, picture in zip(read, pixels, strict=True)]
            numbers = [modality for modality, _ in guesses]
            entries = [Entry(one.path, number, one.stamp) for one, number in zip(read, numbers, strict=True)]
            yield _Batch(read, guesses, entries, extractor.features(pixels, numbers))
        if report is not None:
            report(start + len(chunk), len(images))


def _together(batches: Iterator[_Batch]) -> Iterator[list[_Batch]]:
    """Yield batches in groups of at least SEARCHED images, except the last."""
    group: list[_Batch] = []
    for batch in batches:
        group.append(batch)
        if sum(len(one.images) for one in group) >= SEARCHED:
            yield group
            group = []
    if group:
        yield group


def _changed(
    gallery: Gallery | None, model: dict[str, str], entries: Sequence[Entry], vectors: Sequence[Vectors]
) -> Gallery:
    """Return the gallery, a new one if there is none, with images added."""
    if gallery is None:
        gallery = Gallery(vectors[0].shape[1], model)
    if entries:
        gallery.add(entries, np.concatenate(vectors))
    return gallery


def _find(folder: Path, former: Gallery | None, target: Path) -> Folder:
    """Return what a folder contains, and as not read also linked folders that look unmounted.

    Raises:
        DataError: it does not exist, cannot be read, or contains no image.
    """
    try:
        found = find_images(folder)
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
    """Return the paths of a gallery's images that have disappeared from a folder."""
    present = {image.path for image in found.images} | {one.path for one in found.unread}
    kept = {one.path for one in found.unread} | {os.path.realpath(one.file) for one in found.unread}
    tops = set(found.tops)
    # Folders that were linked here once; what other folders hold too stays.
    elsewhere = {top for other, its in gallery.folders.items() if other != root for top in its} - tops
    unlinked = set(gallery.folders.get(root, [])) - tops - elsewhere
    in_folder, in_kept = _below(tops | unlinked), _below(kept)
    return [
        entry.path
        for entry in gallery.entries.values()
        if entry.path not in present and in_folder(entry.path) and not in_kept(entry.path)
    ]


def _below(folders: set[str]) -> Callable[[str], bool]:
    """Return a function that tells whether a path is one of some paths, or below one; images of a folder are fast."""

    @functools.cache
    def inside(folder: str) -> bool:
        return folder in folders or (bool(folder) and inside(folder.rpartition(os.sep)[0]))

    return lambda path: path in folders or inside(path.rpartition(os.sep)[0])


def _count(gallery: Gallery, folder: str) -> int:
    return sum(map(_below({folder}), [entry.path for entry in gallery.entries.values()]))


def _moved(gallery: Gallery) -> dict[str, int]:
    """Return the number of images from each indexed folder that no longer exists."""
    gone = [root for root in gallery.folders if not is_folder(root)]
    return {root: count for root in gone if (count := _count(gallery, root))}
