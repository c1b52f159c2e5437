"""Diversity of the part masks (SAAI, ICCV 2023; behavior of the repository xiaoye-hhh/SAAI).

    l2    - mean over rows and pairs k < l of sqrt(mean_p (A_kp - A_lp)^2)
    cos   mean over rows and pairs k < l of sum_p A_kp A_lp, + 1 - mean A

The public code multiplies l2 by its weight of 0.5 twice, and cos once. Two equal masks give it a NaN gradient in the l2
form, for which its loss scaler skips the step; here the gradient is 0.
"""

import math

import torch
from torch import Tensor

from vireid_plugins.errors import require_name
from vireid_plugins.layers.centers import row_norm
from vireid_plugins.modeling.losses.base import LOSS_REGISTRY
from vireid_plugins.modeling.losses.parts import MaskLoss, mask_overlap

DIVERSITY_FORMS = ("l2", "cos")


def part_diversity(masks: Tensor, form: str) -> Tensor:
    """Return the loss of masks A (B, n, P); `l2` of a single part is 0.

    Args:
        masks: A.
        form: one of `DIVERSITY_FORMS`.
    """
    if form == "cos":
        return mask_overlap(masks) + 1 - masks.mean()
    rows, parts, positions = masks.shape
    first, second = torch.triu_indices(parts, parts, 1, device=masks.device)
    distances = row_norm(masks[:, first] - masks[:, second])
    return -distances.sum() / (max(1, rows * len(first)) * math.sqrt(positions))


@LOSS_REGISTRY.register()
class PartDiversity(MaskLoss):
    """`part_diversity` of the masks of SAFL.

    Args:
        form: "l2" (what the public code runs) or "cos" (an option of it; its scale is 0.5).

    Raises:
        ConfigError: the form is unknown.
    """

    def __init__(self, *, form: str = "l2", scale: float = 0.25) -> None:
        super().__init__(scale=scale)
        require_name("MODEL.LOSSES.PART_DIVERSITY.FORM", form, DIVERSITY_FORMS)
        self.form = form

    def on_masks(self, masks: Tensor) -> Tensor:
        """Return the loss of masks (B, n, P)."""
        return part_diversity(masks, self.form)
