"""Squared distance between the modalities' mean features: MMD with a linear kernel (Gretton et al., JMLR 2012)."""

from torch import Tensor

from vireid_plugins.modeling.loss_inputs import Branch, LossInputs
from vireid_plugins.modeling.losses import LOSS_REGISTRY, BranchLoss


def modality_mean(visible: Tensor, infrared: Tensor) -> Tensor:
    """Return |mean(visible) - mean(infrared)|^2 of features (B_V, D) and (B_I, D)."""
    return (visible.mean(0) - infrared.mean(0)).square().sum()


@LOSS_REGISTRY.register()
class ModalityMean(BranchLoss):
    """`modality_mean` of pooled features."""

    def on_branch(self, branch: Branch, inputs: LossInputs) -> Tensor:
        """Return the loss of `branch.pooled` (B, D)."""
        return modality_mean(*inputs.by_modality(branch.pooled.float()))
