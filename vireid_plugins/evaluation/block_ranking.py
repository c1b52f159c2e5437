"""Rank positions without the whole matrix of distances, for galleries where it would not fit.

The distances of a query to its few correct matches come first. Every block of distances is then counted against them
and forgotten. The positions are those of `rank_positions` in the matrix of the same blocks: if a product of other
sizes rounded the distance to a match differently, the block's number is taken and counting repeated.

Shapes: `Q` queries, `G` gallery images, `B` queries of a block, `T` gallery images of a block, `M` matches of all
queries of a block.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vireid_plugins.evaluation._numba import over_rows
from vireid_plugins.evaluation.distances import cross_distances
from vireid_plugins.evaluation.feature_rows import FeatureRows, row_or_slice
from vireid_plugins.evaluation.rank_positions import RankPositions, Selection, numbered
from vireid_plugins.evaluation.types import Floats, Ints

# Queries and gallery images of a block; identities times queries of its table of identities.
QUERIES, IMAGES, SEEN = 4096, 4096, 2**28
# Queries of neighboring identities whose distances to their matches are computed at once. Products round alike if the
# number of rows is not smaller than what the libraries' kernels compute together.
TOGETHER = 64


class Matches(NamedTuple):
    """The correct matches of B queries.

    Attributes:
        starts: (B + 1,) those of query q are `starts[q]` to `starts[q + 1]`.
        images: (M,) positions in the gallery, ascending for each query.
        limits: (M,) distances.
    """

    starts: npt.NDArray[np.int64]
    images: npt.NDArray[np.int64]
    limits: Floats


def count_in_blocks(query: FeatureRows, gallery: FeatureRows, metric: str, selection: Selection) -> RankPositions:
    """Return the rank positions of a selection; see `count_positions`.

    Args:
        query: features that the selection's rows refer to.
        gallery: features that the selection's columns refer to.
        metric: a key of `METRICS`.
        selection: queries and gallery.
    """
    selection = numbered(selection)
    gallery_ids = selection.gallery.ids
    by_identity = np.argsort(gallery_ids, kind="stable")
    starts = np.searchsorted(gallery_ids[by_identity], np.arange(gallery_ids.max(initial=-1) + 2))
    size = len(selection.rows)
    positions = RankPositions(np.full(size, -1, np.int64), np.zeros(size), np.zeros(size))
    # Queries of an identity have the same matches.
    order = np.argsort(selection.query.ids, kind="stable")
    order = order[selection.query.ids[order] >= 0]
    most = min(QUERIES, max(TOGETHER, SEEN // len(starts))) if selection.distinct else QUERIES
    for block in bounds(len(order), most):
        chosen = order[block]
        counted = _Block(query, gallery, metric, selection, chosen, by_identity, starts).count()
        for all_of, of_block in zip(positions, counted, strict=True):
            all_of[chosen] = of_block
    return positions


def bounds(count: int, most: int) -> list[slice]:
    """Return slices of equal sizes, of at most `most` and multiples of TOGETHER; the last may be a little larger."""
    parts = max(1, -(-count // most))
    each = max(1, -(-count // (parts * TOGETHER))) * TOGETHER
    # A remainder of few rows belongs to the slice before it.
    starts = [start for start in range(0, count, each) if start == 0 or count - start >= TOGETHER]
    return [slice(start, stop) for start, stop in zip(starts, [*starts[1:], count][: len(starts)], strict=True)]


class _Block:
    """Some queries of a selection, all of which have an identity of the gallery, ordered by identity."""

    def __init__(
        self,
        query: FeatureRows,
        gallery: FeatureRows,
        metric: str,
        selection: Selection,
        chosen: Ints,
        by_identity: npt.NDArray[np.int64],
        starts: npt.NDArray[np.int64],
    ) -> None:
        self.gallery, self.metric, self.selection = gallery, metric, selection
        self.ids, self.cams = selection.query.ids[chosen], selection.query.cams[chosen]
        self.by_identity, self.starts = by_identity, starts
        self.features = query.at(row_or_slice(selection.rows[chosen]))
        self.pairs = np.array(selection.rule.pairs, np.int64).reshape(-1, 2)

    def count(self) -> RankPositions:
        """Return the positions of the block's queries."""
        from vireid_plugins.evaluation._count_loops import summarize

        matches = self._matches()
        while True:
            ahead, seen, changed = self._count_against(matches)
            if not changed:
                break
        queries = len(self.ids)
        positions = RankPositions(np.full(queries, -1, np.int64), np.zeros(queries), np.zeros(queries))
        summarize(matches.starts, ahead, seen, self.selection.distinct, *positions)
        return positions

    def _matches(self) -> Matches:
        """Return the matches that no rule excludes, with their distances."""
        rule, cams = self.selection.rule, self.selection.gallery.cams
        of_queries: list[Ints] = []
        limits: list[Floats] = []
        for part in bounds(len(self.ids), TOGETHER):
            images = np.concatenate([self._images_of(identity) for identity in np.unique(self.ids[part]).tolist()])
            columns = self._distances(self.features[part], images)
            ids = self.selection.gallery.ids[images]
            for row, identity, camera in zip(columns, self.ids[part], self.cams[part], strict=True):
                valid = ids == identity
                if rule.same_camera:
                    valid &= cams[images] != camera
                for _, other in self.pairs[self.pairs[:, 0] == camera]:
                    valid &= cams[images] != other
                of_queries.append(images[valid])
                limits.append(row[valid])
        starts = np.concatenate([[0], np.cumsum([len(images) for images in of_queries])])
        return Matches(starts, np.concatenate(of_queries).astype(np.int64), np.concatenate(limits))

    def _images_of(self, identity: int) -> npt.NDArray[np.int64]:
        return self.by_identity[self.starts[identity] : self.starts[identity + 1]]

    def _distances(self, features: Floats, images: Ints) -> Floats:
        parts = [
            cross_distances(features, self._of_gallery(images[part]), self.metric)
            for part in bounds(len(images), IMAGES)
        ]
        return np.concatenate([np.asarray(part) for part in parts], axis=1)

    def _of_gallery(self, images: "Ints | slice") -> Floats:
        return self.gallery.at(row_or_slice(self.selection.columns[images]))

    def _count_against(self, matches: Matches) -> tuple[Ints, npt.NDArray[np.uint8], bool]:
        """Return how many images are ahead of each match (M,), the identities ahead of each query's best match, and
        whether a distance was corrected, so that counts are void."""
        from vireid_plugins.evaluation._count_loops import count_block

        selection = self.selection
        best = np.full(len(self.ids), -1, np.int64)
        for q, (start, stop) in enumerate(zip(matches.starts[:-1], matches.starts[1:], strict=True)):
            if stop > start:
                best[q] = start + np.argmin(matches.limits[start:stop])
        ahead = np.zeros(len(matches.images), np.int64)
        identities = len(self.starts) - 1 if selection.distinct else 0
        seen = np.zeros((len(self.ids), identities), np.uint8)
        changed = np.zeros(len(self.ids), np.uint8)
        for part in bounds(len(selection.columns), IMAGES):
            near = cross_distances(self.features, self._of_gallery(part), self.metric)
            labels = selection.gallery.ids[part], selection.gallery.cams[part]
            rules = self.pairs, selection.rule.same_camera
            arguments = (near, part.start, self.ids, self.cams, *labels, *rules, *matches, best, ahead, seen, changed)
            over_rows(_of_rows(count_block, arguments), len(self.ids))
        return ahead, seen, bool(changed.any())


def _of_rows(function: Callable[..., None], arguments: tuple[Any, ...]) -> Callable[[int, int], None]:
    return lambda start, stop: function(start, stop, *arguments)
