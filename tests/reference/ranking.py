"""Ranking metrics as the field's code computes them, query by query.

The steps are those of AGW's `eval_sysu` and `eval_regdb` and of DEEN's `eval_llcm` (repositories
mangye16/Cross-Modal-Re-ID-baseline and ZYK100/LLCM), written from what they compute.
"""

from typing import NamedTuple

import numpy as np

from vireid_plugins.evaluation.types import Floats, Ints


class Scores(NamedTuple):
    """Fractions, and the number of queries that they are means over; entry r-1 of `cmc` is rank-r."""

    cmc: Floats
    mAP: float  # noqa: N815  the field's name
    mINP: float  # noqa: N815
    counted: int


def per_query(
    distance: Floats,
    query_ids: Ints,
    gallery_ids: Ints,
    query_cams: Ints,
    gallery_cams: Ints,
    drop: str,
    cmc: str,
    ranks: int = 20,
) -> Scores | None:
    """Score a distance matrix (Q, G) with one sort and a loop over queries; see `evaluate_ranking`.

    `cmc` of the result has `ranks` entries, the field's usual 20 by default.

    Returns:
        None if no query has a match.
    """
    order = np.argsort(distance, axis=1, kind="stable")
    curves, precisions, inverses = [], [], []
    for q, identity in enumerate(query_ids):
        ids, cams = gallery_ids[order[q]], gallery_cams[order[q]]
        hidden = np.zeros(len(ids), bool)
        if drop == "sysu":
            hidden = (query_cams[q] == 3) & (cams == 2)
        elif drop == "same_camera":
            hidden = (ids == identity) & (cams == query_cams[q])
        ids = ids[~hidden]
        right = (ids == identity).astype(np.int64)
        if not right.any():
            continue
        counted = right
        if cmc == "distinct_id":
            _, first = np.unique(ids, return_index=True)
            counted = (ids[np.sort(first)] == identity).astype(np.int64)
        curve = np.minimum(counted.cumsum(), 1)[:ranks]
        curves.append(np.append(curve, np.ones(ranks - len(curve))))
        hits = right.cumsum()
        precisions.append(sum(hits[i] / (i + 1.0) for i in range(len(right)) if right[i]) / right.sum())
        inverses.append(right.sum() / (np.flatnonzero(right)[-1] + 1.0))
    if not curves:
        return None
    return Scores(np.mean(curves, axis=0), float(np.mean(precisions)), float(np.mean(inverses)), len(curves))
