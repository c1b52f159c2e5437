"""L_ICG, an identity center guided loss in the spirit of ICRE (arXiv 2512.04522).

The paper's equations are not known to us; stated are "modality-aware centers" and the hyperparameters lambda and rho1.
Both forms are ours. c_m^k is the batch center of identity k in modality m, m' the other modality, c_k the center of all
rows of identity k, and d the Euclidean distance before the BNNeck:

    tolerance   mean_i [ d(f_i, c_{m'}^{y_i}) - rho1 ]_+ + mean_{j != k} [ rho2 - d(c_j, c_k) ]_+
    hinge       mean_i { d(f_i, c_{m'}^{y_i}) + [ rho1 + d(f_i, c_{m'}^{y_i}) - min_{m, k != y_i} d(f_i, c_m^k) ]_+ }

The tolerance form follows the closest published losses with the same symbols, PDM (arXiv 2409.05642) and SAAI: rho1 is
the tolerance of the pull and rho2 the separation of the centers. In the hinge form rho1 is a margin, hence the other
default. On features that are not normalized, the pull collapses everything to a point before the classifier has
learned.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from vireid_plugins.errors import ConfigError, require_name
from vireid_plugins.layers.centers import centers, identity_weights, row_norm
from vireid_plugins.layers.distances import euclidean
from vireid_plugins.layers.precision import full_precision
from vireid_plugins.modeling.loss_inputs import Branch, LossInputs
from vireid_plugins.modeling.losses.base import LOSS_REGISTRY, BranchLoss

# Default rho1 of each form.
RHO1 = {"tolerance": 0.01, "hinge": 0.3}


def center_tolerance(x: Tensor, targets: Tensor, visible: int, rho1: float, rho2: float) -> Tensor:
    """Return L_ICG in the tolerance form; with one identity it is the pull alone.

    Args:
        x: (B, D), the visible rows first.
        targets: (B,).
        visible: number of visible rows.
        rho1: distance to the other modality's center up to which the pull is 0.
        rho2: distance between two identities' centers from which the push is 0.
    """
    pull = (row_norm(x - _other_center(x, targets, visible)) - rho1).clamp_min(0).mean()
    center = centers(x, targets, targets)
    # Each row represents its identity; with these weights each pair of identities counts once.
    weight = identity_weights(targets, x.dtype)
    apart = targets[:, None] != targets
    pairs = weight[:, None] * weight * apart
    push = ((rho2 - euclidean(center, center)).clamp_min(0) * pairs).sum() / pairs.sum().clamp_min(1)
    return pull + push


def _other_center(x: Tensor, targets: Tensor, visible: int) -> Tensor:
    """Return the center (B, D) of each row's identity in the other modality."""
    halves = slice(None, visible), slice(visible, None)
    return torch.cat([centers(x[b], targets[b], targets[a]) for a, b in (halves, halves[::-1])])


def center_guided(x: Tensor, targets: Tensor, visible: int, rho1: float) -> Tensor:
    """Return L_ICG in the hinge form; without other identities the hinge is 0.

    Args:
        x: (B, D), the visible rows first.
        targets: (B,).
        visible: number of visible rows.
        rho1: margin of the hinge.
    """
    center_visible, center_infrared = (
        centers(x[part], targets[part], targets) for part in (slice(None, visible), slice(visible, None))
    )
    other = torch.cat([center_infrared[:visible], center_visible[visible:]])
    positive = row_norm(x - other)
    same = targets[:, None] == targets
    far = torch.finfo(x.dtype).max
    negative = torch.minimum(
        *(euclidean(x, center).masked_fill(same, far).amin(1) for center in (center_visible, center_infrared))
    )
    # Without another identity the negative is so far that the hinge is 0.
    return (positive + (rho1 + positive - negative).clamp_min(0)).mean()


@LOSS_REGISTRY.register()
class ICG(BranchLoss):
    """L_ICG on pooled features.

    Args:
        form: "tolerance" pulls beyond rho1 and pushes centers apart up to rho2; "hinge" pulls, with a hinge on the
            nearest center of another identity.
        normalize: L2-normalize the features.
        rho1: tolerance of the pull, or margin of the hinge; None is 0.01 (tolerance) or 0.3 (hinge).
        rho2: separation of two identities' centers in the tolerance form.
        scale: lambda, weight of the loss.

    Raises:
        ConfigError: the form is unknown, or rho1 or rho2 is negative or not a number.
    """

    def __init__(
        self,
        *,
        form: str = "tolerance",
        normalize: bool = True,
        rho1: float | None = None,
        rho2: float = 0.7,
        scale: float = 0.5,
    ) -> None:
        super().__init__(scale=scale)
        require_name("MODEL.LOSSES.ICG.FORM", form, RHO1)
        for key, value in (("RHO1", rho1), ("RHO2", rho2)):
            if value is not None and not (isinstance(value, int | float) and value >= 0):
                raise ConfigError(f"MODEL.LOSSES.ICG.{key}: must be a number of at least 0, got {value!r}")
        self.form, self.normalize, self.rho2 = form, normalize, rho2
        self.rho1 = RHO1[form] if rho1 is None else rho1

    def on_branch(self, branch: Branch, inputs: LossInputs) -> Tensor:
        """Return the loss of `branch.pooled` (B, D)."""
        x = full_precision(branch.pooled)
        if self.normalize:
            x = F.normalize(x)
        if self.form == "hinge":
            return center_guided(x, inputs.targets, inputs.visible_rows, self.rho1)
        return center_tolerance(x, inputs.targets, inputs.visible_rows, self.rho1, self.rho2)
