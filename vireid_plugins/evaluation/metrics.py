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

# What `evaluate_ranking` takes.
DROPS = drop_rules(SYSUMM01.unseen)
CMCS = ("ordinary", "distinct_id")


@dataclass(frozen=True)
class Ranking:
    """Scores of one ranking, fractions 0..1.

    Attributes:
        cmc: (G,), entry r - 1 is rank-r.
        mAP: mean over queries of the mean precision at the hits.
        mINP: mean over queries of the number of hits / rank of the last one.
        counted: queries that had a match left; the others are skipped in all three.
        skipped: queries that had none.
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
        distance: (Q, G), smaller is nearer. Ties rank in the order of the gallery. A tensor is worked on where it is.
        query_ids: (Q,) identities.
        gallery_ids: (G,).
        query_cams: (Q,) camera numbers.
        gallery_cams: (G,).
        drop: which gallery images a query does not see. `sysu`: a camera-3 query does not see camera 2, which films the
            same room; `same_camera`: the same identity in the same camera; `none`.
        cmc: `distinct_id` counts identities, of which the first image in the ranking stands for all (SYSU-MM01, LLCM);
            `ordinary` counts images (Market-1501, RegDB in AGW).

    Raises:
        FeatureError: shapes do not fit, a distance is NaN, `drop` or `cmc` is unknown, or no query has a match.
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
    """Score some rows and columns of a distance matrix; the arguments are those of `count_positions`.

    Raises:
        FeatureError: no query has a match.
    """
    positions = count_positions(distance, rows, columns, query, gallery, rule, cmc == "distinct_id")
    matched = positions.first >= 0
    counted = int(matched.sum())
    if not counted:
        raise FeatureError("no query has a match in the gallery: nothing can be scored")
    hits = np.bincount(positions.first[matched], minlength=len(columns))
    return Ranking(
        cmc=hits.cumsum() / counted,
        mAP=float(positions.precision.sum() / counted),
        mINP=float(positions.inverse.sum() / counted),
        counted=counted,
        skipped=len(rows) - counted,
    )


def _check(distance: Floats | Tensor, query: Labels, gallery: Labels, drop: str, cmc: str) -> None:
    shape = (len(query.ids), len(gallery.ids))
    cameras = (len(query.cams), len(gallery.cams))
    if tuple(distance.shape) != shape or cameras != shape:
        raise FeatureError(
            f"distance {tuple(distance.shape)}, ids {shape} and cameras {cameras} do not fit: they must be (queries, "
            "gallery) alike"
        )
    if bool(distance.isnan().any() if isinstance(distance, Tensor) else np.isnan(distance).any()):
        raise FeatureError("the distances hold NaN")
    if drop not in DROPS or cmc not in CMCS:
        raise FeatureError(
            f"drop must be one of {', '.join(DROPS)} and cmc one of {', '.join(CMCS)}; got {drop}, {cmc}"
        )
