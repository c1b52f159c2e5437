"""Answer the queries of several requests together: one pass of the network, one search for equal wishes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt

from vireid_plugins.search.engines import Record
from vireid_plugins.search.engines.base import Vectors
from vireid_plugins.search.gallery import Gallery, Hit
from vireid_plugins.search.querying import Wanted, itself


@dataclass(frozen=True, eq=False)
class Query:
    """What one request looks for.

    Attributes:
        wanted: what is searched for.
        digest: SHA-256 of the file; images with it are no answers.
        modality: 0 visible, 1 infrared.
        pixels: of an upload (H, W, 3), resized for the network.
        vector: of an image of the gallery (D,), in place of pixels.
    """

    wanted: Wanted
    digest: str
    modality: int
    pixels: npt.NDArray[np.uint8] | None = None
    vector: Vectors | None = None


class Finder:
    """Finds the hits of queries; used by one thread.

    Args:
        gallery: the gallery.
        extractor: the model that made it, an `Extractor`.
    """

    def __init__(self, gallery: Gallery, extractor: Any) -> None:
        self.gallery, self.extractor = gallery, extractor

    def __call__(self, queries: Sequence[Query]) -> list[list[Hit]]:
        """Return the hits of each query, best first."""
        vectors = self._vectors(queries)
        hits: list[list[Hit]] = [[] for _ in queries]
        numbers = sorted(range(len(queries)), key=lambda number: _wish(queries[number].wanted))
        for _, group in groupby(numbers, key=lambda number: _wish(queries[number].wanted)):
            rows = list(group)
            wanted = queries[rows[0]].wanted
            left_out: list[Callable[[Record], bool]] = [itself("", queries[row].digest) for row in rows]
            found = self.gallery.search(vectors[rows], wanted.top, wanted.filter(), left_out, wanted.people)
            for row, one in zip(rows, found, strict=True):
                hits[row] = one
        return hits

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
