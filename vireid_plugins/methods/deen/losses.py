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
from torch import Tensor

from vireid_plugins.layers.centers import centers, identity_weights, row_norm
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
    of = targets[:visible]
    o_v, o_i, b_v, b_i = (
        centers(x[part], targets[part], of)
        for x in (original, branch)
        for part in (slice(None, visible), slice(visible, None))
    )
    terms = _half(o_v, o_i, b_v, of, margin) + _half(o_i, o_v, b_i, of, margin)
    weights = identity_weights(of, terms.dtype)
    return (weights * terms).sum() / weights.sum() / 2


def _half(own: Tensor, other: Tensor, expanded: Tensor, targets: Tensor, margin: float) -> Tensor:
    """Return the weighted sum of the three hinges of one modality, that of `own` and `expanded`."""
    across = row_norm(other - expanded)
    within = row_norm(own - expanded).detach()
    near = [_nearest_other(center, targets) for center in (expanded, own)]
    hinges = [(across - limit + margin).clamp_min(0) for limit in (within, *near)]
    return hinges[0] + (hinges[1] + hinges[2]) / 2


def _nearest_other(center: Tensor, targets: Tensor) -> Tensor:
    same = targets[:, None] == targets
    return euclidean(center, center).masked_fill(same, torch.finfo(center.dtype).max).amin(1)


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
        original, first, second = inputs.parts()
        arguments = (inputs.targets, inputs.visible_rows, self.margin)
        values = [cross_modality_expansion(original, branch, *arguments) for branch in (first, second)]
        return values[0] + values[1]


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
