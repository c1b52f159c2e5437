"""Ranking metrics, vectorised over queries, accumulated in float64.

Shapes: `Q` queries, `G` gallery images.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vireid_plugins.errors import FeatureError

Floats = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.integer[Any]]
Bools = npt.NDArray[np.bool_]

DROPS = ("sysu", "same_camera", "none")
CMCS = ("distinct_id", "ordinary")
# Queries ranked at a time: bounds the memory, and changes no value.
CHUNK = 512


@dataclass(frozen=True)
class Ranking:
    """Scores of one ranking, fractions 0..1.

    Attributes:
        cmc: (G,), entry r - 1 is rank-r.
        mAP: mean over queries of the mean precision at the hits.
        mINP: mean over queries of the number of hits / position of the last one.
        counted: queries that had a match left; the others are skipped in all three.
    """

    cmc: npt.NDArray[np.float64]
    mAP: float  # noqa: N815  the field's name
    mINP: float  # noqa: N815
    counted: int


def evaluate_ranking(
    distance: Floats,
    query_ids: Ints,
    gallery_ids: Ints,
    query_cams: Ints,
    gallery_cams: Ints,
    drop: str = "none",
    cmc: str = "ordinary",
) -> Ranking:
    """Score a distance matrix.

    Args:
        distance: (Q, G), smaller is nearer. Ties rank in the order of the gallery.
        query_ids: (Q,) identities.
        gallery_ids: (G,).
        query_cams: (Q,) camera numbers.
        gallery_cams: (G,).
        drop: which gallery images a query does not see. `sysu`: a camera-3 query does not see camera 2, the same place;
            `same_camera`: the same identity in the same camera; `none`.
        cmc: `distinct_id` counts identities, of which the first image in the ranking stands for all (SYSU-MM01, LLCM);
            `ordinary` counts images (Market-1501, RegDB in AGW).

    Raises:
        FeatureError: shapes do not fit, a distance is NaN, `drop` or `cmc` is unknown, or no query has a match.
    """
    query_ids, gallery_ids = np.asarray(query_ids), np.asarray(gallery_ids)
    query_cams, gallery_cams = np.asarray(query_cams), np.asarray(gallery_cams)
    distance = np.asarray(distance)
    _check(distance, query_ids, gallery_ids, query_cams, gallery_cams, drop, cmc)
    size = len(gallery_ids)
    hits = np.zeros(size, dtype=np.float64)
    precision = inverse = 0.0
    counted = 0
    for start in range(0, len(query_ids), CHUNK):
        rows = slice(start, start + CHUNK)
        kept = ~dropped(query_ids[rows], query_cams[rows], gallery_ids, gallery_cams, drop)
        same = (query_ids[rows, None] == gallery_ids) & kept
        order = np.argsort(np.where(kept, distance[rows], np.inf), axis=1, kind="stable")
        ranked = np.take_along_axis(same, order, axis=1)[same.any(axis=1)]
        if not len(ranked):
            continue
        counted += len(ranked)
        found = ranked.cumsum(axis=1)
        place = np.arange(1, size + 1)
        total = found[:, -1]
        precision += float(((found / place * ranked).sum(axis=1) / total).sum())
        last = size - ranked[:, ::-1].argmax(axis=1)
        inverse += float((total / last).sum())
        first = ranked.argmax(axis=1)
        if cmc == "distinct_id":
            first = _identities_before(order[same.any(axis=1)], gallery_ids, first)
        hits += np.bincount(first, minlength=size)
    if not counted:
        raise FeatureError("no query has a match in the gallery: nothing can be scored")
    return Ranking(cmc=hits.cumsum() / counted, mAP=precision / counted, mINP=inverse / counted, counted=counted)


def dropped(query_ids: Ints, query_cams: Ints, gallery_ids: Ints, gallery_cams: Ints, drop: str) -> Bools:
    """Return (Q, G), true where the query does not see the gallery image; the arguments are `evaluate_ranking`'s."""
    hidden: Bools = np.zeros((len(query_ids), len(gallery_ids)), dtype=bool)
    if drop == "sysu":
        hidden = (query_cams[:, None] == 3) & (gallery_cams == 2)
    if drop == "same_camera":
        hidden = (query_ids[:, None] == gallery_ids) & (query_cams[:, None] == gallery_cams)
    return hidden


def _identities_before(order: Ints, gallery_ids: Ints, first: Ints) -> Ints:
    """Return, for each query, how many different identities stand before its first hit.

    Dropped images are ranked last, behind every hit, so they are never counted.

    Args:
        order: (Q, G) gallery indices by distance.
        gallery_ids: (G,).
        first: (Q,) zero-based position of the first hit.
    """
    _, labels = np.unique(gallery_ids, return_inverse=True)
    position = np.empty_like(order)
    np.put_along_axis(position, order, np.arange(order.shape[1])[None, :], axis=1)
    by_identity = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[by_identity], np.arange(labels.max() + 1))
    best = np.minimum.reduceat(position[:, by_identity], starts, axis=1)
    before: Ints = (best < first[:, None]).sum(axis=1)
    return before


def _check(
    distance: Floats,
    query_ids: Ints,
    gallery_ids: Ints,
    query_cams: Ints,
    gallery_cams: Ints,
    drop: str,
    cmc: str,
) -> None:
    shape = (len(query_ids), len(gallery_ids))
    if distance.shape != shape or len(query_cams) != shape[0] or len(gallery_cams) != shape[1]:
        raise FeatureError(
            f"distance {distance.shape}, ids {shape} and cameras {(len(query_cams), len(gallery_cams))} do not fit: "
            "they must be (queries, gallery) alike"
        )
    if np.isnan(distance).any():
        raise FeatureError("the distances hold NaN")
    if drop not in DROPS or cmc not in CMCS:
        raise FeatureError(
            f"drop must be one of {', '.join(DROPS)} and cmc one of {', '.join(CMCS)}; got {drop}, {cmc}"
        )
