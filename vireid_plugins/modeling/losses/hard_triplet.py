"""Triplet loss with the hardest positive and negative of the batch (Hermans et al., arXiv 1703.07737, "batch hard")."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from vireid_plugins.layers.distances import euclidean
from vireid_plugins.modeling.loss_inputs import Branch, LossInputs
from vireid_plugins.modeling.losses.base import LOSS_REGISTRY, StackedLoss


def hard_triplet(features: Tensor, targets: Tensor, margin: float) -> Tensor:
    """Return the mean over anchors of [max d(positive) - min d(negative) + margin]_+, d Euclidean.

    Anchors without a negative are left out; with none left the loss is 0. An anchor is its own positive at distance 0.

    Args:
        features: (..., B, D).
        targets: (B,).
        margin: margin of the hinge.

    Returns:
        (...).
    """
    return hardest_hinge(euclidean(features, features), targets[:, None] == targets, margin)


def hardest_hinge(distance: Tensor, same: Tensor, margin: float) -> Tensor:
    """Return `hard_triplet`, given the distances (..., B, B) and which rows have the same identity (B, B)."""
    positive = (distance * same).amax(-1)
    negative = distance.masked_fill(same, torch.finfo(distance.dtype).max).amin(-1)
    has_negative = (~same.all(1)).to(distance.dtype)
    hinge = (positive - negative + margin).relu() * (has_negative / has_negative.sum().clamp_min(1))
    return hinge.sum(-1)


@LOSS_REGISTRY.register()
class HardTriplet(StackedLoss):
    """`hard_triplet` on pooled features, not normalized, of both modalities together.

    Args:
        margin: margin of the hinge.
        on: names of the branches that the loss uses; empty is all.
    """

    needs: ClassVar[str] = "the branches that `on` names"

    def __init__(self, *, margin: float = 0.3, on: Sequence[str] = (), scale: float = 1.0) -> None:
        super().__init__(scale=scale)
        self.margin, self.on = margin, tuple(on)

    def branches(self, inputs: LossInputs) -> list[Branch]:
        """Return the branches named in `on`; all if it is empty."""
        return [branch for name, branch in inputs.branches.items() if not self.on or name in self.on]

    def on_tensors(self, tensors: Sequence[Tensor], inputs: LossInputs) -> Tensor:
        """Return the loss of each pooled feature (B, D)."""
        return hardest_hinge(inputs.distances.within(tensors), inputs.same, self.margin)
