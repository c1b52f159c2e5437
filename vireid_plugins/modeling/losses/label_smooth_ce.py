"""Cross-entropy with label smoothing (Szegedy et al., CVPR 2016): mass epsilon is spread evenly over all N classes.

fast-reid's `CrossEntropyLoss` spreads it over the N - 1 wrong classes and averages over the rows with non-zero loss.
"""

import torch.nn.functional as F
from torch import Tensor

from vireid_plugins.layers.precision import full_precision
from vireid_plugins.modeling.loss_inputs import Branch, LossInputs
from vireid_plugins.modeling.losses.base import LOSS_REGISTRY, BranchLoss


@LOSS_REGISTRY.register()
class LabelSmoothCE(BranchLoss):
    """Label-smoothed cross-entropy on the logits.

    Args:
        epsilon: mass spread over all classes; 0 is plain cross-entropy.
    """

    def __init__(self, *, epsilon: float = 0.1, scale: float = 1.0) -> None:
        super().__init__(scale=scale)
        self.epsilon = epsilon

    def on_branch(self, branch: Branch, inputs: LossInputs) -> Tensor:
        """Return the mean over the rows of `branch.logits` (B, N)."""
        return F.cross_entropy(full_precision(branch.logits), inputs.targets, label_smoothing=self.epsilon)
