"""Triplet losses as loops over anchors."""

import torch
import torch.nn.functional as F
from torch import Tensor

from reference.rows import distance, mean, rows_of


def hard_triplet(x: Tensor, targets: Tensor, margin: float) -> Tensor:
    """Return the batch-hard triplet loss; 0 where no anchor has a negative."""
    terms = []
    for i in range(len(x)):
        same = rows_of(targets, int(targets[i]))
        positives = [distance(x[i], x[j]) if j != i else x.new_zeros(()) for j in same]
        negatives = [distance(x[i], x[j]) for j in range(len(x)) if j not in same]
        if negatives:
            terms.append(F.relu(torch.stack(positives).max() - torch.stack(negatives).min() + margin))
    return mean(terms) if terms else 0 * x.sum()


def weighted_differences(x: Tensor, targets: Tensor, released_eps: bool) -> list[Tensor]:
    """Return Delta of every anchor; distances of the released code are 1e-6 at least, to the row itself too."""
    least = x.new_full((), 1e-6 if released_eps else 0.0)

    def weighted(scores: list[Tensor], sign: float) -> Tensor:
        masked = [x.new_zeros(())] if released_eps else []
        top = torch.stack([sign * d for d in scores] + masked).max()
        weights = [(sign * d - top).exp() for d in scores]
        above = mean(w * d for w, d in zip(weights, scores, strict=True))
        return above / (mean(weights) + (1e-6 / len(weights) if released_eps else 0.0))

    found = []
    for i in range(len(x)):
        same = rows_of(targets, int(targets[i]))
        positives = [distance(x[i], x[j]).maximum(least) if j != i else least for j in same]
        negatives = [distance(x[i], x[j]).maximum(least) for j in range(len(x)) if j not in same]
        found.append(weighted(positives, 1.0) - weighted(negatives, -1.0))
    return found
