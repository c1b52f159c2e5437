"""Losses on part masks, and what they and those on classifiers of one modality look at.

MPANet (CVPR 2021) and SAAI (ICCV 2023) have both.

Shapes: `B` rows, `n` parts, `P` positions, `N` classes.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from vireid_plugins.layers.precision import full_precision
from vireid_plugins.modeling.loss_inputs import LossInputs
from vireid_plugins.modeling.losses.base import Loss


@dataclass(frozen=True, kw_only=True)
class PartInputs(LossInputs):
    """Inputs of a method with part masks, or with a classifier and a teacher for each modality.

    Attributes:
        masks: A (B, n, P), between 0 and 1; None without parts.
        own_logits: logits (B, N) of the classifier of the row's own modality; None without such classifiers.
        teacher_logits: logits (B, N) of the teacher of the other modality, without a gradient.
    """

    masks: Tensor | None = None
    own_logits: Tensor | None = None
    teacher_logits: Tensor | None = None


class MaskLoss(Loss):
    """A loss on part masks."""

    needs: ClassVar[str] = "part masks (PartInputs)"

    @abstractmethod
    def on_masks(self, masks: Tensor) -> Tensor:
        """Return the loss of masks A (B, n, P), at least in float32."""

    def applies(self, inputs: LossInputs) -> bool:
        """Return whether the method has part masks."""
        return isinstance(inputs, PartInputs) and inputs.masks is not None

    def compute(self, inputs: LossInputs) -> Tensor:
        """Return the loss."""
        assert isinstance(inputs, PartInputs)
        assert inputs.masks is not None
        return self.on_masks(full_precision(inputs.masks))


def mask_overlap(masks: Tensor) -> Tensor:
    """Return the mean over rows and pairs k < l of the sum over positions of A_k A_l; 0 for a single part.

    Args:
        masks: A (B, n, P).
    """
    rows, parts, _ = masks.shape
    # The sum over pairs of a product is half of what the square of the sum has beyond the squares.
    twice = masks.sum(1).square().sum() - masks.square().sum()
    return twice / max(1, rows * parts * (parts - 1))
