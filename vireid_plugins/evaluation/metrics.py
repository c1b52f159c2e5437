"""Ranking metrics, accumulated in float64.

Shapes: `Q` queries, `G` gallery images.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor

from vireid_plugins.data.datasets.sysu_mm01 import SYSUMM01
from vireid_plugins.errors import FeatureError
from vireid_plugins.evaluation.drop_rules import DropRule, drop_rules
from vireid_plugins.evaluation.rank_positions import count_positions
from vireid_plugins.evaluation.types import Floats, Ints, Labels

# Values of `evaluate_ranking`'s `drop` and `cmc`.
DROPS = drop_rules(SYSUMM01.unseen)
CMCS = ("ordinary", "distinct_id")


@dataclass(frozen=True)
class Ranking:
    """Scores of one ranking, as fractions 0..1.

    Attributes:
        cmc: (G,), entry r - 1 is rank-r.
        mAP: mean over queries of the mean precision at the hits.
        mINP: mean over queries of the number of hits / rank of the last one.
        counted: number of queries with a match in the gallery; only these are scored.
        skipped: number of queries without one.
    """

    cmc: npt.NDArray[np.float64]
    mAP: float  # noqa: N815  the field's name
    mINP: float  # noqa: N815
    counted: int
    skipped: int = 0


def evaluate_ranking(
    distance: Floats | Tensor,
    query_ids: Ints,
    gallery_ids: Ints,
    query_cams: Ints,
    gallery_cams: Ints,
    drop: str = "none",
    cmc: str = "ordinary",
) -> Ranking:
    """Score a distance matrix.

    Args:
        distance: (Q, G), smaller is nearer; ties are ranked in gallery order. A tensor is scored on its own device.
        query_ids: (Q,) identities.
        gallery_ids: (G,).
        query_cams: (Q,) camera numbers.
        gallery_cams: (G,).
        drop: gallery images that are excluded for a query. `sysu`: camera 2 for a query from camera 3, which films the
            same room; `same_camera`: the same identity in the same camera; `none`: no image.
        cmc: `distinct_id` ranks identities, each at its first image (SYSU-MM01, LLCM); `ordinary` ranks images
            (Market-1501, RegDB in AGW).

    Raises:
        FeatureError: shapes do not match, a distance is NaN, `drop` or `cmc` is unknown, identities are text on one
            side and numbers on the other, or no query has a match.
    """
    query = Labels(np.asarray(query_ids), np.asarray(query_cams))
    gallery = Labels(np.asarray(gallery_ids), np.asarray(gallery_cams))
    if not isinstance(distance, Tensor):
        distance = np.asarray(distance)
    _check(distance, query, gallery, drop, cmc)
    rows, columns = np.arange(len(query.ids)), np.arange(len(gallery.ids))
    return rank(distance, rows, columns, query, gallery, DROPS[drop], cmc)


def rank(
    distance: Floats | Tensor, rows: Ints, columns: Ints, query: Labels, gallery: Labels, rule: DropRule, cmc: str
) -> Ranking:
    """Score rows and columns of a distance matrix; see `count_positions` for the arguments.

    Raises:
        FeatureError: no query has a match.
    """
    positions = count_positions(distance, rows, columns, query, gallery, rule, cmc == "distinct_id")
    matched = positions.first >= 0
    counted = int(matched.sum())
    if not counted:
        raise FeatureError("no query has a match in the gallery, so nothing can be scored")
    hits = np.bincount(positions.first[matched], minlength=len(columns))
    return Ranking(
        cmc=hits.cumsum() / counted,
        mAP=float(positions.precision.sum() / counted),
        mINP=float(positions.inverse.sum() / counted),
        counted=counted,
        skipped=len(rows) - counted,
    )


def _is_text(ids: Ints) -> bool:
    return ids.dtype.kind in "SU" or (ids.dtype.kind == "O" and any(isinstance(one, str) for one in ids))


def _require_one_kind(query: Labels, gallery: Labels) -> None:
    """Raise a `FeatureError` if identities are text on one side and numbers on the other: then none are equal."""
    kinds = ["text" if _is_text(labels.ids) else "numbers" for labels in (query, gallery)]
    if kinds[0] != kinds[1]:
        raise FeatureError(
            f"query_ids are {kinds[0]} and gallery_ids are {kinds[1]}, so no query has a match; make both numbers or "
            "both text"
        )


def _check(distance: Floats | Tensor, query: Labels, gallery: Labels, drop: str, cmc: str) -> None:
    shape = (len(query.ids), len(gallery.ids))
    cameras = (len(query.cams), len(gallery.cams))
    if tuple(distance.shape) != shape or cameras != shape:
        raise FeatureError(
            f"the sizes (queries, gallery) do not match: distance {tuple(distance.shape)}, ids {shape}, cameras "
            f"{cameras}"
        )
    if bool(distance.isnan().any() if isinstance(distance, Tensor) else np.isnan(distance).any()):
        raise FeatureError("the distances contain NaN")
    _require_one_kind(query, gallery)
    if drop not in DROPS or cmc not in CMCS:
        raise FeatureError(
            f"drop must be one of {', '.join(DROPS)} and cmc one of {', '.join(CMCS)}; got {drop}, {cmc}"
        )
