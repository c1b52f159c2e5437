"""Answer the queries of several requests together: one pass of the network, one search for equal wishes."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vireid_plugins.search.engines import Record
from vireid_plugins.search.engines.base import Vectors
from vireid_plugins.search.gallery import Hit
from vireid_plugins.search.querying import Wanted
from vireid_plugins.search.service.opened import Opened
from vireid_plugins.search.tracks import Track, track_of


@dataclass(frozen=True, eq=False)
class Query:
    """What one request looks for.

    Attributes:
        wanted: what is searched for.
        digest: SHA-256 of the file; images with it are no answers.
        modality: 0 visible, 1 infrared.
        pixels: of an upload (H, W, 3), resized for the network.
        vector: of an image of the gallery (D,), in place of pixels.
        tracks: of the file's images; they are no answers either.
    """

    wanted: Wanted
    digest: str
    modality: int
    pixels: npt.NDArray[np.uint8] | None = None
    vector: Vectors | None = None
    tracks: frozenset[Track] = frozenset()

    def left_out(self, record: Record) -> bool:
        """Return whether an image is no answer: it is the query, or of its track."""
        return record.digest == self.digest or track_of(record) in self.tracks


class Answered(NamedTuple):
    """The hits of a query, best first, and how many images were searched."""

    hits: list[Hit]
    searched: int


class Finder:
    """Finds the hits of queries; used by one thread.

    Args:
        opened: the gallery, which nobody else uses.
        extractor: the model that made it, an `Extractor`.
    """

    def __init__(self, opened: Opened, extractor: Any) -> None:
        self.opened, self.extractor = opened, extractor

    def __call__(self, queries: Sequence[Query]) -> list[Answered]:
        """Return the answer to each query."""
        gallery, vectors = self.opened.gallery(), self._vectors(queries)
        answers = [Answered([], 0)] * len(queries)
        numbers = sorted(range(len(queries)), key=lambda number: _wish(queries[number].wanted))
        for _, group in groupby(numbers, key=lambda number: _wish(queries[number].wanted)):
            rows = list(group)
            wanted = queries[rows[0]].wanted
            where, left_out = wanted.filter(), [queries[row].left_out for row in rows]
            # Nothing is searched where nothing passes, also in a gallery without images.
            if count := gallery.engine.count(where):
                found = gallery.search(vectors[rows], wanted.top, where, left_out, wanted.people)
                for row, hits in zip(rows, found, strict=True):
                    answers[row] = Answered(hits, count)
        return answers

    def close(self) -> None:
        """Close the gallery."""
        self.opened.close()

    def _vectors(self, queries: Sequence[Query]) -> Vectors:
        """Return the vectors (Q, D) of queries."""
        found = [one.vector for one in queries]
        pictures = [(n, one.pixels, one.modality) for n, one in enumerate(queries) if one.pixels is not None]
        for start in range(0, len(pictures), self.extractor.batch):
            numbers, images, modalities = zip(*pictures[start : start + self.extractor.batch], strict=True)
            for number, vector in zip(numbers, self.extractor.features(images, modalities), strict=True):
                found[number] = vector
        return np.stack([one for one in found if one is not None])


def _wish(wanted: Wanted) -> str:
    """Return a text that is equal for equal wishes."""
    return repr(wanted)
