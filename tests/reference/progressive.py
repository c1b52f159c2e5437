"""PMT's losses as loops over rows and identities."""

from torch import Tensor

from reference.rows import distance, mean
from reference.triplets import hard_triplet


def modality_triplet(x: Tensor, targets: Tensor, visible: int, margin: float) -> Tensor:
    """Return the triplet loss of the visible rows plus that of the infrared rows."""
    halves = (slice(None, visible), slice(visible, None))
    first, second = (hard_triplet(x[rows], targets[rows], margin) for rows in halves)
    return first + second


def msel(x: Tensor, targets: Tensor, visible: int) -> Tensor:
    """Return MSEL over the rows that have both kinds of partners."""
    halves = []
    for start, stop in ((0, visible), (visible, len(x))):
        terms = []
        for i in range(start, stop):
            same = [j for j in range(len(x)) if targets[j] == targets[i] and j != i]
            own = [distance(x[i], x[j]) for j in same if start <= j < stop]
            cross = [distance(x[i], x[j]) for j in same if not start <= j < stop]
            if own and cross:
                terms.append((mean(cross) - mean(own)) ** 2)
        halves.append(mean(terms) if terms else x.sum() * 0)
    return (halves[0] + halves[1]) / 2


def dcl(x: Tensor, targets: Tensor) -> Tensor:
    """Return DCL over the identities."""
    positive, negative = [], []
    for identity in targets.unique():
        own = [row for row, target in zip(x, targets, strict=True) if target == identity]
        others = [row for row, target in zip(x, targets, strict=True) if target != identity]
        center = mean(own)
        positive.append(mean(distance(center, row) for row in own))
        away = [distance(center, row) for row in others]
        limit = mean(away).item()
        # A single image of another identity is as far as the mean.
        negative.append(mean([d for d in away if d.item() < limit] or away))
    return mean(positive) / mean(negative)
