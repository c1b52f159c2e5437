"""QCT, the quadruple center triplet loss of MSCMNet (Pattern Recognition 2025, arXiv 2311.14395).

Value and gradient are the released code's; the paper's equations were not available to us, its captions name the three
parts. x_i are features before the BNNeck, not normalized, c^m_y is the center of identity y in modality m (all views),
c_y its center over all streams, and c^s_y its center in stream s:

    L_QCT = 1/2 { (1 - a) mean_i || x_i - c^{other modality}_{y_i} ||      dual center, DC
                 + a mean_i || x_i - c^{own stream}_{y_i} ||               quadruple center, QC
                 + mean_i mean_{j != y_i} [ margin - || x_i - c_j || ]_+ }  negative margin, NM

The released code has a = 0; the captions show all three parts.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from vireid_plugins.layers.centers import centers, identity_weights, row_norm
from vireid_plugins.layers.distances import euclidean
from vireid_plugins.layers.precision import full_precision
from vireid_plugins.modeling.loss_inputs import Branch, LossInputs
from vireid_plugins.modeling.losses.base import LOSS_REGISTRY, BranchLoss


def dual_center(x: Tensor, targets: Tensor, visible: int) -> Tensor:
    """Return DC, the mean distance of a row to its identity's center in the other modality.

    Args:
        x: (B, D), the visible rows first.
        targets: (B,).
        visible: number of visible rows.
    """
    return row_norm(x - _other_modality(x, targets, visible)).mean()


def _other_modality(x: Tensor, targets: Tensor, visible: int) -> Tensor:
    """Return the centers (B, D) that DC pulls to."""
    center_infrared = centers(x[visible:], targets[visible:], targets[:visible])
    center_visible = centers(x[:visible], targets[:visible], targets[visible:])
    return torch.cat([center_infrared, center_visible])


def quadruple_center(x: Tensor, targets: Tensor, rows: Sequence[int]) -> Tensor:
    """Return QC, the mean distance of a row to its identity's center in its own stream.

    Args:
        x: (B, D), one stream after the other.
        targets: (B,).
        rows: number of rows of each stream.
    """
    return row_norm(x - _own_stream(x, targets, rows)).mean()


def _own_stream(x: Tensor, targets: Tensor, rows: Sequence[int]) -> Tensor:
    """Return the centers (B, D) that QC pulls to."""
    split = zip(x.split(list(rows)), targets.split(list(rows)), strict=True)
    return torch.cat([centers(part, ids, ids) for part, ids in split])


def negative_margin(x: Tensor, targets: Tensor, margin: float) -> Tensor:
    """Return NM, the mean over rows and other identities of [margin - distance to their center]_+; 0 without others.

    Args:
        x: (B, D).
        targets: (B,).
        margin: margin of the hinge.
    """
    hinge = (margin - euclidean(x, centers(x, targets, targets))).clamp_min(0)
    weights = identity_weights(targets, x.dtype) * (targets[:, None] != targets)
    return ((hinge * weights).sum(1) / weights.sum(1).clamp_min(1)).mean()


def quadruple_center_triplet(
    x: Tensor, targets: Tensor, rows: Sequence[int], visible: int, margin: float, quad_weight: float
) -> Tensor:
    """Return L_QCT.

    Args:
        x: (B, D) in the order [V1, V2, I1, I2].
        targets: (B,).
        rows: number of rows of each stream.
        visible: number of visible rows.
        margin: margin of NM.
        quad_weight: a; a part of weight 0 is not computed.
    """
    total = negative_margin(x, targets, margin)
    # A mixture of DC and QC takes the norms of both in one call.
    if quad_weight == 0:
        total = total + dual_center(x, targets, visible)
    elif quad_weight == 1:
        total = total + quadruple_center(x, targets, rows)
    else:
        pulled_to = torch.stack([_other_modality(x, targets, visible), _own_stream(x, targets, rows)])
        dual, quadruple = row_norm(x - pulled_to).mean(1)
        total = total + torch.lerp(dual, quadruple, quad_weight)
    return total / 2


@LOSS_REGISTRY.register()
class QCT(BranchLoss):
    """`quadruple_center_triplet` on pooled features.

    Args:
        margin: margin of the negative part, NM.
        quad_weight: a, weight of the quadruple center; the dual center has 1 - a. 0 in the released code.
    """

    def __init__(self, *, margin: float = 0.7, quad_weight: float = 0.0, scale: float = 1.0) -> None:
        super().__init__(scale=scale)
        self.margin, self.quad_weight = margin, quad_weight

    def on_branch(self, branch: Branch, inputs: LossInputs) -> Tensor:
        """Return the loss of `branch.pooled` (B, D)."""
        x, rows = full_precision(branch.pooled), inputs.stream_rows()
        return quadruple_center_triplet(x, inputs.targets, rows, inputs.visible_rows, self.margin, self.quad_weight)
