"""Weighted regularized triplet (AGW, TPAMI 2022) and its squared-difference form (CAJ, ICCV 2021), both by Ye et al.

With d the Euclidean distance of features before the BNNeck, not normalized, w_p the softmax of d over an anchor's
positives, which include the anchor itself, and w_n the softmax of -d over its negatives:

    Delta = sum w_p d - sum w_n d
    WRT = mean softplus(Delta)
    ESD = mean softplus(sign(Delta) min(gamma Delta^2, 88))

This is the behavior of the released code (repository mangye16/Cross-Modal-Re-ID-baseline), which in addition subtracts
the maximum over all masked entries, 0 for negatives, and adds 1e-6 to each denominator: its negative term vanishes at
distances above about 14 (`released_eps`).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from vireid_plugins.layers.distances import euclidean
from vireid_plugins.modeling.loss_inputs import LossInputs
from vireid_plugins.modeling.losses.base import LOSS_REGISTRY, StackedLoss


def weighted_difference(features: Tensor, targets: Tensor, released_eps: bool = False) -> tuple[Tensor, Tensor]:
    """Return Delta (B,) and which anchors (B,) have a negative.

    Args:
        features: (B, D).
        targets: (B,).
        released_eps: weights as the released code computes them.
    """
    same = targets[:, None] == targets
    return difference_of(euclidean(features, features), same, released_eps), ~same.all(1)


def difference_of(distance: Tensor, same: Tensor, released_eps: bool = False) -> Tensor:
    """Return Delta (..., B), given the distances (..., B, B) and which rows have the same identity (B, B)."""
    if released_eps:
        # Its distances are at least 1e-6, also those of rows to themselves.
        distance = distance.clamp_min(1e-6)
    # Positives are weighted by their distance, negatives by minus their distance.
    scores, mask = torch.stack([distance, -distance], -3), torch.stack([same, ~same])
    return (scores * _weights(scores, mask, released_eps)).sum((-3, -1))


def weighted_triplet(features: Tensor, targets: Tensor, released_eps: bool = False) -> Tensor:
    """Return WRT, the mean over the anchors that have a negative.

    Args:
        features: (B, D).
        targets: (B,).
        released_eps: weights as the released code computes them.
    """
    difference, counted = weighted_difference(features, targets, released_eps)
    return _mean(F.softplus(difference), counted)


def squared_difference_triplet(features: Tensor, targets: Tensor, gamma: float, released_eps: bool = False) -> Tensor:
    """Return ESD, the mean over the anchors that have a negative; see `weighted_difference`.

    Args:
        features: (B, D).
        targets: (B,).
        gamma: factor of the square.
        released_eps: weights as the released code computes them.
    """
    difference, counted = weighted_difference(features, targets, released_eps)
    return _mean(F.softplus(_signed_square(difference, gamma)), counted)


def _signed_square(difference: Tensor, gamma: float) -> Tensor:
    """Return sign(Delta) min(gamma Delta^2, 88)."""
    return difference.sign() * (gamma * difference.square()).clamp_max(88)


def _mean(terms: Tensor, counted: Tensor) -> Tensor:
    """Return the means (...) of terms (..., B) over the rows that are counted (B,), 0 if none is."""
    counted = counted.to(terms.dtype)
    return (terms * (counted / counted.sum().clamp_min(1))).sum(-1)


def _weights(scores: Tensor, mask: Tensor, released_eps: bool) -> Tensor:
    """Return the softmax of `scores` (..., B, B) over the true entries of rows of `mask`; rows without one are 0."""
    if released_eps:
        top = (scores * mask).amax(-1, keepdim=True)
        weights = torch.exp((scores - top).masked_fill(~mask, -torch.inf))
        return weights / (weights.sum(-1, keepdim=True) + 1e-6)
    low = torch.finfo(scores.dtype).min
    return scores.masked_fill(~mask, low).softmax(-1) * mask


@LOSS_REGISTRY.register()
class WeightedTriplet(StackedLoss):
    """`weighted_triplet` on pooled features, not normalized.

    Args:
        released_eps: weights as the released code computes them: the negative term vanishes at large distances (half of
            it is gone at about 14 with one negative, at 17.8 with 56 equal ones).
    """

    def __init__(self, *, released_eps: bool = False, scale: float = 1.0) -> None:
        super().__init__(scale=scale)
        self.released_eps = released_eps

    def on_tensors(self, tensors: Sequence[Tensor], inputs: LossInputs) -> Tensor:
        """Return the loss of each pooled feature (B, D)."""
        difference = difference_of(inputs.distances.within(tensors), inputs.same, self.released_eps)
        return _mean(F.softplus(difference), ~inputs.same.all(1))


@LOSS_REGISTRY.register()
class SquaredDifferenceTriplet(StackedLoss):
    """`squared_difference_triplet` on pooled features, not normalized.

    Args:
        gamma: factor of the squared difference.
        released_eps: weights as the released code computes them; see WEIGHTED_TRIPLET.
    """

    def __init__(self, *, gamma: float = 1.0, released_eps: bool = False, scale: float = 1.0) -> None:
        super().__init__(scale=scale)
        self.gamma, self.released_eps = gamma, released_eps

    def on_tensors(self, tensors: Sequence[Tensor], inputs: LossInputs) -> Tensor:
        """Return the loss of each pooled feature (B, D)."""
        difference = difference_of(inputs.distances.within(tensors), inputs.same, self.released_eps)
        return _mean(F.softplus(_signed_square(difference, self.gamma)), ~inputs.same.all(1))
