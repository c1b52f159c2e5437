"""Rank positions of the correct matches, computed by counting instead of sorting.

The rank position of a gallery image is the number of images that are nearer, or as near and earlier in the gallery. A
query has few correct matches, so counting for these alone is cheaper than a sort, and it handles ties exactly. Compiled
loops count on the host, torch on a device; both give the same counts.

Shapes: `Q` queries, `G` gallery images.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vireid_plugins.evaluation._numba import over_rows
from vireid_plugins.evaluation.drop_rules import DropRule
from vireid_plugins.evaluation.types import Floats, Ints, Labels, Names

# Rows of the matrix that all trials look at before the next ones.
ROWS = 128
# Elements of the largest intermediate on a device.
DEVICE_ELEMENTS = 2**27


class RankPositions(NamedTuple):
    """For each query (Q,): zero-based position of the first hit in the CMC, -1 if it has no match; AP; INP."""

    first: Ints
    precision: npt.NDArray[np.float64]
    inverse: npt.NDArray[np.float64]


class Selection(NamedTuple):
    """Queries and gallery of one trial in a matrix of distances, and how they are ranked.

    Attributes:
        rows: (Q,) indices of the rows that are the queries.
        columns: (G,) indices of the columns that are the gallery; their order breaks ties.
        query: labels of the Q queries.
        gallery: labels of the G gallery images.
        rule: gallery images that are excluded for a query.
        distinct: count identities instead of images before the first hit.
        open_set: also find how similar each query is to its nearest image, as thresholds need.
        names: what the numbers of the labels stand for, in messages.
    """

    rows: Ints
    columns: Ints
    query: Labels
    gallery: Labels
    rule: DropRule
    distinct: bool
    open_set: bool = False
    names: Names = Names()


def count_positions(distance: Floats | Tensor, selections: Sequence[Selection]) -> list[RankPositions]:
    """Return the rank positions for every selection of a distance matrix.

    Args:
        distance: an array, or a tensor, which is processed on its device; smaller is nearer.
        selections: the trials to rank.
    """
    named = [numbered(selection) for selection in selections]
    if isinstance(distance, Tensor):
        return [_on_device(distance, *selection[:6]) for selection in named]
    counted = [_Counting(distance, selection) for selection in named]

    def part(start: int, stop: int) -> None:
        # All trials of some rows, while these are in the processor's cache, before the next ones.
        for first in range(start, stop, ROWS):
            for one in counted:
                one.count(first, min(first + ROWS, stop))

    over_rows(part, max((len(one.rows) for one in selections), default=0))
    return [one.positions for one in counted]


def numbered(selection: Selection) -> Selection:
    """Return a selection with identities 0 .. n - 1; -1 for queries whose identity is not in the gallery."""
    query, gallery = selection.query, selection.gallery
    names, gallery_ids = np.unique(gallery.ids, return_inverse=True)
    at = np.searchsorted(names, query.ids).clip(max=max(len(names) - 1, 0))
    query_ids = np.where(names[at] == query.ids, at, -1) if len(names) else np.full(len(query.ids), -1)
    return selection._replace(query=Labels(query_ids, query.cams), gallery=Labels(gallery_ids, gallery.cams))


class _Counting:
    """The compiled loops and their arguments for a selection with identities 0 .. n - 1."""

    def __init__(self, distance: Floats, selection: Selection) -> None:
        # Not at the top: numba takes a tenth of a second to import.
        from vireid_plugins.evaluation._count_loops import count

        rows, columns, query, gallery, rule, distinct = selection[:6]
        self.queries = len(rows)
        self.positions = RankPositions(np.empty(self.queries, np.int64), np.zeros(self.queries), np.zeros(self.queries))
        by_identity = np.argsort(gallery.ids, kind="stable")
        starts = np.searchsorted(gallery.ids[by_identity], np.arange(gallery.ids.max(initial=-1) + 2))
        # Indices that cannot be negative are followed faster.
        arrays = [rows, columns.astype(np.uint64), *query, gallery.ids.astype(np.uint64)]
        arrays += [gallery.cams, by_identity, starts]
        whole = [array if array.dtype == np.uint64 else array.astype(np.int64) for array in arrays]
        self.function = count
        rules = (np.array(rule.pairs, np.int64).reshape(-1, 2), rule.same_camera, distinct)
        self.arguments = (distance, *whole, *rules, *self.positions)

    def count(self, start: int, stop: int) -> None:
        """Count for the queries `start` to `stop`, as far as there are so many."""
        self.function(min(start, self.queries), min(stop, self.queries), *self.arguments)


def _on_device(
    distance: Tensor, rows: Ints, columns: Ints, query: Labels, gallery: Labels, rule: DropRule, distinct: bool
) -> RankPositions:
    if not len(rows) or not len(columns):
        return RankPositions(np.full(len(rows), -1, np.int64), np.zeros(len(rows)), np.zeros(len(rows)))
    device = distance.device
    moved: list[Any] = [torch.as_tensor(a.astype(np.int64), device=device) for a in (rows, columns, *query, *gallery)]
    row, column, query_ids, query_cams, gallery_ids, gallery_cams = moved
    most = int(np.bincount(gallery.ids).max())
    chunk = max(1, DEVICE_ELEMENTS // (most * len(columns)))
    parts = []
    for start in range(0, len(rows), chunk):
        part = slice(start, start + chunk)
        near = distance[row[part]][:, column]
        hidden = rule.hides(Labels(query_ids[part], query_cams[part]), Labels(gallery_ids, gallery_cams))
        near = near.masked_fill(hidden, torch.nan)
        right = (query_ids[part, None] == gallery_ids) & ~hidden
        parts.append(_positions(near, right, gallery_ids, most, distinct))
    return RankPositions(*(torch.cat(column).cpu().numpy() for column in zip(*parts, strict=True)))


def _positions(
    near: Tensor, right: Tensor, gallery_ids: Tensor, most: int, distinct: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the position of the first hit, AP and INP of a chunk of queries.

    Args:
        near: (Q, G) distances, NaN for excluded images.
        right: (Q, G) true for correct matches that are not excluded.
        gallery_ids: (G,) 0 .. n - 1.
        most: largest number of matches of a query.
        distinct: see `count_positions`.
    """
    total = right.sum(1)
    # Matches first, in the order of the gallery.
    hits = right.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :most]
    valid = torch.arange(hits.shape[1], device=near.device) < total[:, None]
    limit = near.gather(1, hits)
    index = torch.arange(near.shape[1], device=near.device)
    ahead = (near[:, None] < limit[..., None]).sum(2)
    ahead += ((near[:, None] == limit[..., None]) & (index < hits[..., None])).sum(2)
    positions, order = ahead.masked_fill(~valid, near.shape[1]).sort(dim=1)
    number = torch.arange(1, hits.shape[1] + 1, device=near.device, dtype=torch.float64)
    precision = (number / (positions + 1) * valid).sum(1) / total.clamp(min=1)
    last = positions.gather(1, (total - 1).clamp(min=0)[:, None])[:, 0]
    inverse = (total / (last + 1).to(torch.float64)) * (total > 0)
    first = positions[:, 0]
    if distinct:
        best = hits.gather(1, order[:, :1])
        limit = near.gather(1, best)
        before = (near < limit) | ((near == limit) & (index < best))
        identities = torch.zeros(len(near), int(gallery_ids.max()) + 1, device=near.device, dtype=torch.int64)
        identities.scatter_reduce_(1, gallery_ids.expand(len(near), -1), before.to(torch.int64), "amax")
        first = identities.sum(1)
    return first.masked_fill(total == 0, -1), precision * (total > 0), inverse
