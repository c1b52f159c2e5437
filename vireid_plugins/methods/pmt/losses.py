"""The losses of PMT (Lu et al., AAAI 2023, arXiv 2212.00226; behavior of the repository hulu88/PMT).

d is the Euclidean distance of features before the BNNeck, not normalized, V and I are the visible and infrared rows,
P identities with K rows in each modality.

    MSEL = 1/2 [mean over V of (c_i - a_i)^2 + mean over I of (c_i - a_i)^2]

a_i is the mean distance of row i to the other rows of its identity in its modality, c_i that to its rows in the other
modality. With c_p the mean of the 2K rows of identity p, and n_p the mean of d(c_p, x) over those rows x of other
identities that are nearer than the mean of them all (which chooses only, without a gradient):

    DCL = mean over p and its rows of d(c_p, x)  /  mean over p of n_p

The released code sorts rows by identity and needs equally many of each; here labels decide, and rows and identities for
which a mean is empty are left out.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from vireid_plugins.layers.centers import centers, identity_weights
from vireid_plugins.layers.distances import euclidean, stacked
from vireid_plugins.layers.precision import full_precision
from vireid_plugins.modeling.loss_inputs import LossInputs
from vireid_plugins.modeling.losses.base import LOSS_REGISTRY, StackedLoss
from vireid_plugins.modeling.losses.hard_triplet import hard_triplet


def modality_triplet(features: Tensor, targets: Tensor, visible: int, margin: float) -> Tensor:
    """Return `hard_triplet` of the visible rows plus that of the infrared rows.

    Args:
        features: (..., B, D), the visible rows first.
        targets: (B,).
        visible: number of visible rows.
        margin: margin of the hinges.

    Returns:
        (...).
    """
    of_visible = hard_triplet(features[..., :visible, :], targets[:visible], margin)
    return of_visible + hard_triplet(features[..., visible:, :], targets[visible:], margin)


def msel(distance: Tensor, targets: Tensor, visible: int) -> Tensor:
    """Return MSEL.

    Args:
        distance: (..., B, B) between the rows, the visible ones first.
        targets: (B,).
        visible: number of visible rows.

    Returns:
        (...).
    """
    row = torch.arange(len(targets), device=targets.device)
    same = targets[:, None] == targets
    within = (row[:, None] < visible) == (row < visible)
    means, counted = [], torch.ones_like(targets, dtype=torch.bool)
    for chosen in (same & within & (row[:, None] != row), same & ~within):
        count = chosen.sum(1)
        means.append((distance * chosen).sum(-1) / count.clamp_min(1))
        counted &= count > 0
    squares = (means[1] - means[0]).square()
    first = _mean(squares[..., :visible], counted[:visible])
    return (first + _mean(squares[..., visible:], counted[visible:])) / 2


def dcl(features: Tensor, targets: Tensor) -> Tensor:
    """Return DCL; 0 if all rows are of one identity.

    Args:
        features: (B, D) of both modalities.
        targets: (B,).
    """
    # The center of every row's identity, so that nothing has to be known about the labels on the host.
    distance = euclidean(centers(features, targets, targets), features)
    same = targets[:, None] == targets
    weights = identity_weights(targets, features.dtype)
    weights = weights / weights.sum()
    positive = (_mean(distance, same) * weights).sum()
    # Of a single other row, or equally distant ones, none is nearer than the mean.
    near = ~same & (distance.detach() < _mean(distance.detach(), ~same)[:, None])
    near = torch.where(near.any(1, keepdim=True), near, ~same)
    negative = (_mean(distance, near) * weights).sum()
    return torch.where(negative > 0, positive / negative.clamp_min(torch.finfo(distance.dtype).tiny), 0 * positive)


def _mean(values: Tensor, chosen: Tensor) -> Tensor:
    """Return the mean (...) of the chosen values (..., n), 0 if there are none."""
    return (values * chosen).sum(-1) / chosen.sum(-1).clamp_min(1)


@LOSS_REGISTRY.register()
class ModalityTriplet(StackedLoss):
    """`modality_triplet` on pooled features, not normalized: the triplet loss of PMT's first phase.

    Args:
        margin: margin of the hinges.
    """

    def __init__(self, *, margin: float = 0.1, scale: float = 1.0) -> None:
        super().__init__(scale=scale)
        self.margin = margin

    def on_tensors(self, tensors: Sequence[Tensor], inputs: LossInputs) -> Tensor:
        """Return the loss of each pooled feature (B, D)."""
        features = full_precision(stacked(tensors))
        return modality_triplet(features, inputs.targets, inputs.visible_rows, self.margin)


@LOSS_REGISTRY.register()
class MSEL(StackedLoss):
    """`msel` of pooled features, not normalized: the modality-shared enhancement loss."""

    def __init__(self, *, scale: float = 0.5) -> None:
        super().__init__(scale=scale)

    def on_tensors(self, tensors: Sequence[Tensor], inputs: LossInputs) -> Tensor:
        """Return the loss of each pooled feature (B, D)."""
        return msel(inputs.distances.within(tensors), inputs.targets, inputs.visible_rows)


@LOSS_REGISTRY.register()
class DCL(StackedLoss):
    """`dcl` of pooled features, not normalized: the discriminative center loss."""

    def __init__(self, *, scale: float = 0.5) -> None:
        super().__init__(scale=scale)

    def on_tensors(self, tensors: Sequence[Tensor], inputs: LossInputs) -> Tensor:
        """Return the loss of each pooled feature (B, D)."""
        return torch.stack([dcl(full_precision(one), inputs.targets) for one in tensors])
