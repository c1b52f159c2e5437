"""Hetero-center loss (Zhu et al., Neurocomputing 2020).

    L_HC = mean over identities of || c_V - c_I ||^2

with c the batch center of an identity in a modality, before the BNNeck. From "Hetero-Center Loss for Cross-Modality
Person Re-Identification".
"""

from torch import Tensor

from vireid_plugins.layers.centers import centers, identity_weights
from vireid_plugins.layers.precision import full_precision
from vireid_plugins.modeling.loss_inputs import Branch, LossInputs
from vireid_plugins.modeling.losses.base import LOSS_REGISTRY, BranchLoss


def hetero_center(visible: Tensor, infrared: Tensor, targets_visible: Tensor, targets_infrared: Tensor) -> Tensor:
    """Return L_HC; the mean is over the identities of the visible rows that have infrared rows.

    Args:
        visible: (n, D).
        infrared: (m, D).
        targets_visible: (n,).
        targets_infrared: (m,).
    """
    center_visible = centers(visible, targets_visible, targets_visible)
    center_infrared = centers(infrared, targets_infrared, targets_visible)
    weights = identity_weights(targets_visible, visible.dtype)
    weights = weights * (targets_visible[:, None] == targets_infrared).any(1)
    squares = (center_visible - center_infrared).square().sum(1)
    return (weights * squares).sum() / weights.sum().clamp_min(1)


@LOSS_REGISTRY.register()
class HeteroCenter(BranchLoss):
    """`hetero_center` on pooled features."""

    def on_branch(self, branch: Branch, inputs: LossInputs) -> Tensor:
        """Return the loss of `branch.pooled` (B, D)."""
        visible, infrared = inputs.by_modality(full_precision(branch.pooled))
        return hetero_center(visible, infrared, *inputs.by_modality(inputs.targets))
