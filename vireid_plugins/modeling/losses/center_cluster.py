"""Center cluster loss of MPANet (Wu et al., CVPR 2021) and SAAI (Fang et al., ICCV 2023), as their code computes it.

    mean_i [ || f_i - c_{y_i} || - a ]_+  +  mean_{p != q} [ m - || c_p - c_q || ]_+

with f before the BNNeck and not normalized, c_p the center of all rows of identity p, of both modalities, and the
second mean over ordered pairs of identities. MPANet has a = 0, SAAI a = 0.01; m is 0.7 in both. Gradients also pass
through the centers.
"""

from torch import Tensor

from vireid_plugins.layers.centers import centers, identity_weights, row_norm
from vireid_plugins.layers.precision import full_precision
from vireid_plugins.modeling.loss_inputs import Branch, LossInputs
from vireid_plugins.modeling.losses.base import LOSS_REGISTRY, BranchLoss


def center_pull(x: Tensor, center: Tensor, tolerance: float) -> Tensor:
    """Return the mean over rows of [ || f - c || - tolerance ]_+.

    Args:
        x: f (B, D).
        center: the center (B, D) of each row's identity.
        tolerance: a.
    """
    distance = row_norm(x - center)
    return ((distance - tolerance).relu() if tolerance else distance).mean()


def center_push(center: Tensor, targets: Tensor, margin: float) -> Tensor:
    """Return the mean over ordered pairs of identities of [ margin - || c_p - c_q || ]_+; 0 with one identity.

    Distances come from inner products of centers relative to their mean: the features are up to 16,384 wide, for which
    a GPU would hold B x B x D numbers to differentiate distances taken from differences.

    Args:
        center: the center (B, D) of each row's identity.
        targets: (B,).
        margin: m.
    """
    relative = center - center.mean(0)
    product = relative @ relative.T
    square = product.diagonal()
    distance = (square[:, None] + square - 2 * product).clamp_min(1e-12).sqrt()
    # Each row stands for its identity; with these weights each pair of identities counts once.
    weight = identity_weights(targets, center.dtype)
    pairs = weight[:, None] * weight * (targets[:, None] != targets)
    return ((margin - distance).relu() * pairs).sum() / pairs.sum().clamp_min(1)


def center_cluster(x: Tensor, targets: Tensor, margin: float, tolerance: float = 0.0) -> Tensor:
    """Return the pull plus the push.

    Args:
        x: f (B, D).
        targets: (B,).
        margin: m, distance between two centers from which the push is 0.
        tolerance: a, distance to the center up to which the pull is 0.
    """
    center = centers(x, targets, targets)
    return center_pull(x, center, tolerance) + center_push(center, targets, margin)


@LOSS_REGISTRY.register()
class CenterCluster(BranchLoss):
    """`center_cluster` on pooled features, not normalized.

    Args:
        margin: m, distance between two identities' centers from which the push is 0.
        tolerance: a, distance to the own center up to which the pull is 0.
    """

    def __init__(self, *, margin: float = 0.7, tolerance: float = 0.0, scale: float = 1.0) -> None:
        super().__init__(scale=scale)
        self.margin, self.tolerance = margin, tolerance

    def on_branch(self, branch: Branch, inputs: LossInputs) -> Tensor:
        """Return the loss of `branch.pooled` (B, D)."""
        return center_cluster(full_precision(branch.pooled), inputs.targets, self.margin, self.tolerance)
