"""L_ICG, identity centre guided loss in the spirit of ICRE (arXiv 2512.04522).

The paper's equations are not known to us; stated are "modality-aware centers" and the hyper-parameters lambda and rho1.
The formula is ours, with c_m^k the batch centre of identity k in modality m, m' the other modality and d Euclidean
before the neck:

    L_ICG = mean_i { d(f_i, c_{m'}^{y_i}) + [ rho1 + d(f_i, c_{m'}^{y_i}) - min_{m, k != y_i} d(f_i, c_m^k) ]_+ }
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from vireid_plugins.modeling.bundle import Branch, Bundle
from vireid_plugins.modeling.losses.base import LOSS_REGISTRY, BranchLoss
from vireid_plugins.modeling.losses.centres import centres, row_norm
from vireid_plugins.modeling.losses.distance import euclidean
from vireid_plugins.modeling.precision import full_precision


def centre_guided(x: Tensor, targets: Tensor, visible: int, rho1: float = 0.3) -> Tensor:
    """Return L_ICG; a row without another identity has no hinge.

    Args:
        x: (B, D), the visible rows first.
        targets: (B,).
        visible: how many rows are visible.
        rho1: margin of the hinge.
    """
    centre_visible, centre_infrared = (
        centres(x[part], targets[part], targets) for part in (slice(None, visible), slice(visible, None))
    )
    other = torch.cat([centre_infrared[:visible], centre_visible[visible:]])
    positive = row_norm(x - other)
    same = targets[:, None] == targets
    far = torch.finfo(x.dtype).max
    negative = torch.minimum(
        *(euclidean(x, centre).masked_fill(same, far).amin(1) for centre in (centre_visible, centre_infrared))
    )
    hinge = (rho1 + positive - negative).clamp_min(0) * (~same).any(1)
    return (positive + hinge).mean()


@LOSS_REGISTRY.register()
class ICG(BranchLoss):
    """`centre_guided` on pooled features.

    Args:
        rho1: margin of the hinge.
        on: names of branches; empty is all.
        scale: lambda.
    """

    label = "icg"
    node = "ICG"

    def __init__(self, *, rho1: float = 0.3, on: Sequence[str] = (), scale: float = 0.5) -> None:
        super().__init__(on=on, scale=scale)
        self.rho1 = rho1

    def on_branch(self, branch: Branch, bundle: Bundle) -> Tensor:
        """Return the loss of `branch.pooled` (B, D)."""
        return centre_guided(full_precision(branch.pooled), bundle.targets, bundle.visible_rows, self.rho1)
