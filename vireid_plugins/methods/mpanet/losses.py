"""Separation of the pattern maps (MPANet, CVPR 2021; behavior of the repository DoubtedSteam/MPANet).

    mean over rows and pairs k < l of sum_p A_kp A_lp

The sum over positions grows with the feature map: about 48 at the start at 384 x 128.
"""

from torch import Tensor

from vireid_plugins.modeling.losses.base import LOSS_REGISTRY
from vireid_plugins.modeling.losses.parts import MaskLoss, mask_overlap


@LOSS_REGISTRY.register()
class PatternSeparation(MaskLoss):
    """`mask_overlap` of the pattern maps."""

    def __init__(self, *, scale: float = 0.5) -> None:
        super().__init__(scale=scale)

    def on_masks(self, masks: Tensor) -> Tensor:
        """Return the loss of masks (B, n, P)."""
        return mask_overlap(masks)
