"""Cross-entropy with label smoothing (Szegedy et al., CVPR 2016): mass epsilon is spread evenly over all N classes.

fast-reid's `CrossEntropyLoss` spreads it over the N - 1 wrong classes and averages over the rows with non-zero loss.
"""

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from vireid_plugins.layers.distances import stacked
from vireid_plugins.layers.precision import full_precision
from vireid_plugins.modeling.loss_inputs import LossInputs
from vireid_plugins.modeling.losses.base import LOSS_REGISTRY, StackedLoss


def smooth_cross_entropy(logits: Tensor, targets: Tensor, epsilon: float = 0.0) -> Tensor:
    """Return the means (L,) over the rows of each of L sets of logits (L, B, N).

    Equal to torch's `cross_entropy(..., label_smoothing=epsilon)`, which takes twice as many calls.

    Args:
        logits: (L, B, N).
        targets: (B,), the same for all sets.
        epsilon: mass spread over all classes.
    """
    L, B, N = logits.shape
    if L == 1 and not epsilon:
        return F.cross_entropy(logits[0], targets)[None]
    with torch.no_grad():
        # - 1 / B times the distribution that each row should have.
        wanted = logits.new_full((B, N), -epsilon / (N * B))
        wanted.scatter_(1, targets[:, None], (epsilon - 1 - epsilon / N) / B)
    return (F.log_softmax(logits, dim=2) * wanted).sum((1, 2))


@LOSS_REGISTRY.register()
class LabelSmoothCE(StackedLoss):
    """Label-smoothed cross-entropy on the logits.

    Args:
        epsilon: mass spread over all classes; 0 is plain cross-entropy.
    """

    takes: ClassVar[str] = "logits"

    def __init__(self, *, epsilon: float = 0.1, scale: float = 1.0) -> None:
        super().__init__(scale=scale)
        self.epsilon = epsilon

    def on_tensors(self, tensors: Sequence[Tensor], inputs: LossInputs) -> Tensor:
        """Return the mean over the rows of each logits (B, N)."""
        return smooth_cross_entropy(full_precision(stacked(tensors)), inputs.targets, self.epsilon)
