"""What goes wrong: the queries with the lowest average precision, and the identities that are taken for one another."""

from collections import Counter
from typing import NamedTuple

import numpy as np

from vireid_plugins.visualize.ranking import RankedTrial


class HardQuery(NamedTuple):
    """A query and what it was mistaken for.

    Attributes:
        row: of the trial's queries.
        wrong: gallery images ahead of the first match, the nearest of each identity, from the nearest on.
        match: the nearest correct gallery image.
        position: its rank position among the images that are not excluded, from 1.
    """

    row: int
    wrong: list[int]
    match: int
    position: int


class Confusion(NamedTuple):
    """An identity whose queries find another one at rank position 1.

    Attributes:
        identity: of the queries.
        taken_for: identity that is found.
        times: number of such queries.
        total: number of queries of the identity that have a match.
        row: the first such query.
        column: the gallery image that it finds.
    """

    identity: int
    taken_for: int
    times: int
    total: int
    row: int
    column: int


def hardest(trial: RankedTrial, count: int, most: int = 4) -> list[HardQuery]:
    """Return the queries with the lowest average precision, the lowest first; equal ones in their order.

    Args:
        trial: the ranked trial.
        count: at most how many.
        most: at most how many wrong images of each.
    """
    rows = trial.matched
    chosen = rows[np.argsort(trial.precision[rows], kind="stable")[:count]]
    return [_hard(trial, int(row), most) for row in chosen]


def _hard(trial: RankedTrial, row: int, most: int) -> HardQuery:
    order = np.argsort(trial.distance[row], kind="stable")
    order = order[~trial.hidden[row, order]]
    ids = trial.gallery.ids[order]
    position = int(np.argmax(ids == trial.query.ids[row]))
    ahead: dict[int, int] = {}
    for column, identity in zip(order[:position], ids[:position], strict=True):
        ahead.setdefault(int(identity), int(column))
    return HardQuery(row, list(ahead.values())[:most], int(order[position]), position + 1)


def confusions(trial: RankedTrial, most: int = 12) -> list[Confusion]:
    """Return the most frequent pairs of a query's identity and another identity at rank position 1.

    Args:
        trial: the ranked trial.
        most: at most how many pairs; of equally frequent ones, those with the lowest identities.
    """
    nearest, first = trial.nearest, dict[tuple[int, int], int]()
    counts: Counter[tuple[int, int]] = Counter()
    totals = Counter(int(one) for one in trial.query.ids[trial.matched])
    for row in trial.matched:
        pair = int(trial.query.ids[row]), int(trial.gallery.ids[nearest[row]])
        if pair[0] != pair[1]:
            counts[pair] += 1
            first.setdefault(pair, int(row))
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:most]
    return [Confusion(*pair, count, totals[pair[0]], first[pair], int(nearest[first[pair]])) for pair, count in ranked]
