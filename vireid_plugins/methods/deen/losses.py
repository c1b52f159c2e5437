"""The two losses on DEEN's expanded embeddings (Zhang and Wang, CVPR 2023; behavior of the repository ZYK100/LLCM).

CPM compares the identity centers of the original features (o_V, o_I) with those of one expanded branch (b_V, b_I).
d(x, y) is the distance between two centers of an identity, n(x) the distance to the nearest center of another identity
within x, m the margin, and sg stops the gradient:

    1/2 { [d(o_I,b_V) - sg d(o_V,b_V) + m]_+ + 1/2 [d(o_I,b_V) - n(b_V) + m]_+ + 1/2 [d(o_I,b_V) - n(o_V) + m]_+
        + [d(o_V,b_I) - sg d(o_I,b_I) + m]_+ + 1/2 [d(o_V,b_I) - n(b_I) + m]_+ + 1/2 [d(o_V,b_I) - n(o_I) + m]_+ }

averaged over identities and summed over the branches. Orthogonality is the inner product of an image's two branch
features, not normalized, summed over images and divided by the number of all 3B rows.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from vireid_plugins.layers.centers import row_norm
from vireid_plugins.layers.distances import euclidean
from vireid_plugins.layers.precision import full_precision
from vireid_plugins.modeling.loss_inputs import LossInputs
from vireid_plugins.modeling.losses.base import LOSS_REGISTRY, Loss


def cross_modality_expansion(original: Tensor, branch: Tensor, targets: Tensor, visible: int, margin: float) -> Tensor:
    """Return CPM of one expanded branch.

    Args:
        original: (B, D), the visible rows first.
        branch: (B, D), the same images in the same order.
        targets: (B,); both modalities have the same identities.
        visible: number of visible rows.
        margin: m.
    """
    return expansions(torch.stack([original, branch]), targets, visible, margin)


def expansions(features: Tensor, targets: Tensor, visible: int, margin: float) -> Tensor:
    """Return CPM, summed over the expanded branches, in one call for all of them.

    Args:
        features: (1 + b, B, D), the original features and those of b branches.
        targets: see `cross_modality_expansion`.
        visible: see `cross_modality_expansion`.
        margin: see `cross_modality_expansion`.
    """
    same = targets[:visible, None] == targets
    center, counts = _centers(features, same, visible)
    original, expanded = center.split([1, len(center) - 1])
    across = row_norm(original.flip(1) - expanded)
    with torch.no_grad():
        within = row_norm(original - expanded)
        # Every identity counts once, through its visible rows.
        weight = 1 / counts
        weight = weight / (2 * weight.sum())
        weights = torch.stack([weight, weight / 2, weight / 2])
    of_original, of_expanded = _nearest_other(center, same[:, :visible]).split([1, len(center) - 1])
    limits = torch.stack([within, of_expanded, of_original.expand_as(within)])
    hinges = (across + margin - limits).relu()
    return (hinges * weights[:, None, None]).sum()


def _centers(features: Tensor, same: Tensor, visible: int) -> tuple[Tensor, Tensor]:
    """Return the center (s, 2, n, D) of each visible row's identity in both modalities, and its visible rows (n,).

    Args:
        features: (s, B, D).
        same: (n, B), true where a row has the identity of a visible row.
        visible: n.
    """
    rows = same.to(features.dtype)
    # One matrix for both modalities, with zeros for rows of the other one.
    halves = F.pad(rows[:, :visible], (0, rows.shape[1] - visible)), F.pad(rows[:, visible:], (visible, 0))
    shares = torch.cat(halves)
    counts = shares.sum(1, keepdim=True)
    shares = shares / counts.clamp_min(1)
    center = torch.bmm(shares.expand(len(features), -1, -1), features)
    return center.unflatten(1, (2, -1)), counts[:visible, 0]


def _nearest_other(center: Tensor, same: Tensor) -> Tensor:
    """Return the distance (..., n) of each center (..., n, D) to the nearest one of another identity."""
    return euclidean(center, center).masked_fill(same, torch.finfo(center.dtype).max).amin(-1)


def orthogonality(first: Tensor, second: Tensor) -> Tensor:
    """Return the sum over images of the inner product of their two branch features (B, D), divided by 3B."""
    return (first * second).sum() / (3 * len(first))


@dataclass(frozen=True, kw_only=True)
class ExpansionInputs(LossInputs):
    """Inputs of the expansion losses.

    Attributes:
        expanded: pooled features (3B, D): the B originals, the first branch, the second branch.
    """

    expanded: Tensor

    def parts(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the features (B, D) of the originals and of each branch, in at least float32."""
        original, first, second = full_precision(self.expanded).chunk(3)
        return original, first, second


class ExpansionLoss(Loss):
    """A loss on `ExpansionInputs`."""

    needs: ClassVar[str] = "DEEN's expanded features (ExpansionInputs)"

    def applies(self, inputs: LossInputs) -> bool:
        """Return whether the method expands its embeddings."""
        return isinstance(inputs, ExpansionInputs)


@LOSS_REGISTRY.register()
class CPM(ExpansionLoss):
    """`cross_modality_expansion`, summed over the two branches.

    Args:
        margin: m, margin of the hinges.
    """

    def __init__(self, *, margin: float = 0.2, scale: float = 0.8) -> None:
        super().__init__(scale=scale)
        self.margin = margin

    def compute(self, inputs: LossInputs) -> Tensor:
        """Return the loss."""
        assert isinstance(inputs, ExpansionInputs)
        features = full_precision(inputs.expanded).unflatten(0, (3, -1))
        return expansions(features, inputs.targets, inputs.visible_rows, self.margin)


@LOSS_REGISTRY.register()
class Orthogonality(ExpansionLoss):
    """`orthogonality` of the two branches."""

    def __init__(self, *, scale: float = 0.01) -> None:
        super().__init__(scale=scale)

    def compute(self, inputs: LossInputs) -> Tensor:
        """Return the loss."""
        assert isinstance(inputs, ExpansionInputs)
        _, first, second = inputs.parts()
        return orthogonality(first, second)
