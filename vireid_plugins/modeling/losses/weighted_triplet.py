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

import torch
import torch.nn.functional as F
from torch import Tensor

from vireid_plugins.layers.distances import euclidean
from vireid_plugins.layers.precision import full_precision
from vireid_plugins.modeling.loss_inputs import Branch, LossInputs
from vireid_plugins.modeling.losses.base import LOSS_REGISTRY, BranchLoss


def weighted_difference(features: Tensor, targets: Tensor, released_eps: bool = False) -> tuple[Tensor, Tensor]:
    """Return Delta (B,) and which anchors (B,) have a negative.

    Args:
        features: (B, D).
        targets: (B,).
        released_eps: weights as the released code computes them.
    """
    distance = euclidean(features, features)
    if released_eps:
        # Its distances are at least 1e-6, also those of rows to themselves.
        distance = distance.clamp_min(1e-6)
    same = targets[:, None] == targets
    positive = (distance * _weights(distance, same, released_eps)).sum(1)
    negative = (distance * _weights(-distance, ~same, released_eps)).sum(1)
    return positive - negative, (~same).any(1)


def weighted_triplet(features: Tensor, targets: Tensor, released_eps: bool = False) -> Tensor:
    """Return WRT, the mean over the anchors that have a negative.

    Args:
        features: (B, D).
        targets: (B,).
        released_eps: weights as the released code computes them.
    """
    difference, counted = weighted_difference(features, targets, released_eps)
    return (F.softplus(difference) * counted).sum() / counted.sum().clamp_min(1)


def squared_difference_triplet(features: Tensor, targets: Tensor, gamma: float, released_eps: bool = False) -> Tensor:
    """Return ESD, the mean over the anchors that have a negative; see `weighted_difference`.

    Args:
        features: (B, D).
        targets: (B,).
        gamma: factor of the square.
        released_eps: weights as the released code computes them.
    """
    difference, counted = weighted_difference(features, targets, released_eps)
    squared = (gamma * difference.square()).clamp_max(88)
    return (F.softplus(difference.sign() * squared) * counted).sum() / counted.sum().clamp_min(1)


def _weights(scores: Tensor, mask: Tensor, released_eps: bool) -> Tensor:
    """Return the softmax of `scores` (B, B) over the true entries of each row of `mask`; rows without one are 0."""
    if released_eps:
        top = (scores * mask).amax(1, keepdim=True)
        weights = torch.exp((scores - top).masked_fill(~mask, -torch.inf))
        return weights / (weights.sum(1, keepdim=True) + 1e-6)
    low = torch.finfo(scores.dtype).min
    return scores.masked_fill(~mask, low).softmax(1) * mask


@LOSS_REGISTRY.register()
class WeightedTriplet(BranchLoss):
    """`weighted_triplet` on pooled features, not normalized.

    Args:
        released_eps: weights as the released code computes them: the negative term vanishes at large distances (half of
            it is gone at about 14 with one negative, at 17.8 with 56 equal ones).
    """

    def __init__(self, *, released_eps: bool = False, scale: float = 1.0) -> None:
        super().__init__(scale=scale)
        self.released_eps = released_eps

    def on_branch(self, branch: Branch, inputs: LossInputs) -> Tensor:
        """Return the loss of `branch.pooled` (B, D)."""
        return weighted_triplet(full_precision(branch.pooled), inputs.targets, self.released_eps)


@LOSS_REGISTRY.register()
class SquaredDifferenceTriplet(BranchLoss):
    """`squared_difference_triplet` on pooled features, not normalized.

    Args:
        gamma: factor of the squared difference.
        released_eps: weights as the released code computes them; see WEIGHTED_TRIPLET.
    """

    def __init__(self, *, gamma: float = 1.0, released_eps: bool = False, scale: float = 1.0) -> None:
        super().__init__(scale=scale)
        self.gamma, self.released_eps = gamma, released_eps

    def on_branch(self, branch: Branch, inputs: LossInputs) -> Tensor:
        """Return the loss of `branch.pooled` (B, D)."""
        return squared_difference_triplet(full_precision(branch.pooled), inputs.targets, self.gamma, self.released_eps)
