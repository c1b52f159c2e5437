"""Ranking metrics, accumulated in float64.

Shapes: `Q` queries, `G` gallery images.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from vireid_plugins.data.datasets.sysu_mm01 import SYSUMM01
from vireid_plugins.errors import FeatureError
from vireid_plugins.evaluation.choices import CMCS
from vireid_plugins.evaluation.distances import rankable
from vireid_plugins.evaluation.drop_rules import drop_rules, no_match
from vireid_plugins.evaluation.labels import labels_of
from vireid_plugins.evaluation.nearest import nearest
from vireid_plugins.evaluation.open_set import Identified
from vireid_plugins.evaluation.rank_positions import RankPositions, Selection, count_positions
from vireid_plugins.evaluation.types import Floats

# The rules of `evaluate_ranking`'s `drop`.
DROPS = drop_rules(SYSUMM01.unseen)


@dataclass(frozen=True)
class Ranking:
    """Scores of one ranking, as fractions 0..1.

    Attributes:
        cmc: (G,), entry r - 1 is rank-r.
        mAP: mean over queries of the mean precision at the hits.
        mINP: mean over queries of the number of hits / rank of the last one.
        counted: number of queries with a match in the gallery; only these are scored.
        skipped: number of queries without one.
        ap: (Q,) average precision of each query; NaN without a match.
        open_set: what became of the queries of an open set; None: all identities are enrolled.
    """

    cmc: npt.NDArray[np.float64]
    mAP: float  # noqa: N815  the field's name
    mINP: float  # noqa: N815
    counted: int
    skipped: int = 0
    ap: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    open_set: Identified | None = None


def evaluate_ranking(
    distance: Any,
    query_ids: Any,
    gallery_ids: Any,
    query_cams: Any = None,
    gallery_cams: Any = None,
    drop: str = "none",
    cmc: str = "ordinary",
) -> Ranking:
    """Score a distance matrix.

    Args:
        distance: (Q, G) real numbers of any type, smaller is nearer; ties are ranked in gallery order. A tensor is
            scored on its own device.
        query_ids: (Q,) identities, numbers or names.
        gallery_ids: (G,) likewise.
        query_cams: (Q,) cameras, numbers or names; None if `drop` does not read them.
        gallery_cams: (G,) likewise.
        drop: gallery images that are excluded for a query. `sysu`: camera 2 for a query from camera 3, which films the
            same room, so cameras must be numbers; `same_camera`: the same identity in the same camera; `none`: no
            image.
        cmc: `distinct_id` ranks identities, each at its first image (SYSU-MM01, LLCM); `ordinary` ranks images
            (Market-1501, RegDB in AGW).

    Raises:
        FeatureError: shapes or types do not match, a distance is NaN, `drop` or `cmc` is unknown, `drop` needs cameras
            that are not given, identities are text on one side and numbers on the other, or no query has a match.
    """
    if drop not in DROPS or cmc not in CMCS:
        raise FeatureError(
            f"drop must be one of {', '.join(DROPS)} and cmc one of {', '.join(CMCS)}; got {drop}, {cmc}"
        )
    query, gallery, names = labels_of(query_ids, gallery_ids, query_cams, gallery_cams, drop, DROPS[drop])
    matrix = rankable(distance)
    sizes = (len(query.ids), len(gallery.ids))
    cameras = (len(query.cams), len(gallery.cams))
    if tuple(matrix.shape) != sizes or cameras != sizes:
        raise FeatureError(
            f"the sizes (queries, gallery) do not match: distance {tuple(matrix.shape)}, ids {sizes}, cameras {cameras}"
        )
    rows, columns = (np.arange(size) for size in sizes)
    every = Selection(rows, columns, query, gallery, DROPS[drop], distinct=cmc == "distinct_id", names=names)
    return rank(matrix, [every])[0]


def rank(distance: Floats | Tensor, selections: Sequence[Selection]) -> list[Ranking]:
    """Score rows and columns of a distance matrix, one trial after the other; see `count_positions`.

    Raises:
        FeatureError: no query of a trial has a match.
    """
    counted = count_positions(distance, selections)
    rankings = []
    for positions, selection in zip(counted, selections, strict=True):
        ranking = ranking_of(positions, selection)
        if selection.open_set:
            ranking = with_open_set(ranking, positions, selection, nearest(distance, selection))
        rankings.append(ranking)
    return rankings


def ranking_of(positions: RankPositions, selection: Selection) -> Ranking:
    """Return the scores of a trial whose rank positions are known.

    Raises:
        FeatureError: no query has a match.
    """
    matched = positions.first >= 0
    counted = int(matched.sum())
    if not counted:
        query, gallery = (selection.names.of(side) for side in (selection.query, selection.gallery))
        name = next((name for name, known in DROPS.items() if known == selection.rule), "")
        raise FeatureError(no_match(query, gallery, selection.rule, name))
    hits = np.bincount(positions.first[matched], minlength=len(selection.columns))
    return Ranking(
        cmc=hits.cumsum() / counted,
        mAP=float(positions.precision.sum() / counted),
        mINP=float(positions.inverse.sum() / counted),
        counted=counted,
        skipped=len(selection.rows) - counted,
        ap=np.where(matched, positions.precision, np.nan),
    )


def with_open_set(
    ranking: Ranking, positions: RankPositions, selection: Selection, distances: npt.NDArray[np.float64]
) -> Ranking:
    """Return a ranking with what became of its queries, given the distance (Q,) of each to its nearest image."""
    found = Identified(
        best=-distances,
        right=positions.first == 0,
        genuine=positions.first >= 0,
        impostor=~np.isin(selection.query.ids, selection.gallery.ids),
    )
    return replace(ranking, open_set=found)
