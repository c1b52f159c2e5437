"""Find the images of a gallery that are nearest to other images; the implementation of `vireid search query`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vireid_plugins.data.thermal import reporting
from vireid_plugins.errors import DataError, require_name
from vireid_plugins.io.regular import sha256_of
from vireid_plugins.search.embedding import Embedded, embedded, not_read
from vireid_plugins.search.engines import Condition, Record, Where
from vireid_plugins.search.extractor import NAMES, Extractor
from vireid_plugins.search.gallery import Gallery, Hit
from vireid_plugins.search.images import Found, Unread, find_images
from vireid_plugins.search.modality import modality_teller
from vireid_plugins.search.tracks import Track, frames_of, track_of, tracks_with

FINDS = (*NAMES, "both")
# Queries that are searched together: a gallery is read once for all of them.
SEARCHED = 512


class QueryResult(NamedTuple):
    """A query, its modality, how certain that is (1 unless it was guessed), and its hits."""

    query: str
    modality: int
    certainty: float
    hits: list[Hit]


@dataclass(frozen=True)
class Wanted:
    """What is searched for.

    Args:
        top: number of images per query, or of people.
        find: one of FINDS: images of that modality, without the query itself and its exact duplicates; empty for all
            images, the query included.
        where: conditions on the images.
        people: images of one track, and near-duplicates, are one answer.

    Raises:
        ConfigError: `find` is unknown.
    """

    top: int = 10
    find: str = ""
    where: tuple[Condition, ...] = ()
    people: bool = False

    def __post_init__(self) -> None:
        if self.find:
            require_name("--find", self.find, FINDS)

    def filter(self) -> Where | None:
        """Return all conditions, the modality's included."""
        modality = (Condition("modality", "=", NAMES[self.find]),) if self.find in NAMES else ()
        return Where((*modality, *self.where)) if modality or self.where else None


@reporting()
def query_images(
    gallery: Gallery, extractor: Extractor, queries: Path, way: str, wanted: Wanted
) -> tuple[list[QueryResult], list[Unread]]:
    """Return the nearest gallery images of one image, or of every image in a folder, and what could not be read.

    Args:
        gallery: the gallery to search.
        extractor: makes the queries' features.
        queries: an image or a folder.
        way: how modalities are determined, one of WAYS.
        wanted: what is searched for.

    Raises:
        DataError: there is no image, none can be read, or no image of the gallery passes the conditions.
    """
    tell = modality_teller(way, queries)
    found = find_images(queries)
    where = wanted.filter()
    if where is not None and len(gallery) and not gallery.engine.count(where):
        raise DataError(f"no image of the gallery passes {where}; {gallery.engine.known().listed()}")
    results: list[QueryResult] = []
    frames = frames_of(gallery) if wanted.find else {}
    for batches in _together(embedded(extractor, found.images, tell, found.unread)):
        images = [image for batch in batches for image in batch.images]
        left_out = [query_or_its_track(image, frames) for image in images] if wanted.find else None
        vectors = np.concatenate([batch.vectors for batch in batches])
        hits = iter(gallery.search(vectors, wanted.top, where, left_out, wanted.people))
        for batch in batches:
            rows = zip(batch.images, batch.guesses, strict=True)
            results += [QueryResult(str(image.file), *guess, next(hits)) for image, guess in rows]
    if not results:
        raise DataError(not_read(found.unread))
    return results, found.unread


def itself(key: str, digest: str) -> Callable[[Record], bool]:
    """Return a function that tells whether a record is an image itself, by its path, or has the same content."""
    return lambda record: record.key == key or record.digest == digest


def query_or_its_track(image: Found, frames: Mapping[Track, Sequence[Record]]) -> Callable[[Record], bool]:
    """Return a function that tells whether a record is an image itself, or a track that it is an image of."""
    is_query = itself(image.path, sha256_of(image.file))
    tracks = tracks_with(frames, is_query) if frames else set()
    return lambda record: is_query(record) or track_of(record) in tracks


def _together(batches: Iterator[Embedded]) -> Iterator[list[Embedded]]:
    """Yield batches in groups of at least SEARCHED images, except the last."""
    group: list[Embedded] = []
    for batch in batches:
        group.append(batch)
        if sum(len(one.images) for one in group) >= SEARCHED:
            yield group
            group = []
    if group:
        yield group
