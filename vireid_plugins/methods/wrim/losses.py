"""CMKIC, Cross-Modality Key-Instance Contrastive loss, of WRIM-Net (ECCV 2024, arXiv 2408.10624).

Stated by the paper: same-identity samples of the other modality are pulled together. Second-hand: the K hardest
positives, and the sum of a visible-to-infrared and an infrared-to-visible term. The formula is ours; the paper's
equations were not available to us:

    L_VI = -mean_i (1 / K) sum_{p in T(i)} log( e^{s_ip} / (e^{s_ip} + sum_{n in N(i)} e^{s_in}) )

with s_ij = z_i . z_j / tau on L2-normalized z, T(i) the K least similar same-identity samples of the other modality and
N(i) its samples of other identities. Whether the denominator also includes the other positives, as in supervised
contrastive learning, is open; with `other_positives` it does: its e^{s_ip} becomes the sum over all same-identity
samples of the other modality.

The ramp of the weight is ours as well: at full weight, the gradient on the feature map of stage 3 is 25 times that of
the identity loss when training starts from random weights.
"""

import torch
import torch.nn.functional as F
from fastreid.utils import events
from torch import Tensor

from vireid_plugins.errors import ConfigError
from vireid_plugins.layers.precision import full_precision
from vireid_plugins.modeling.loss_inputs import LossInputs
from vireid_plugins.modeling.losses.base import LOSS_REGISTRY, Loss


def key_instance_contrast(similarity: Tensor, same: Tensor, k_hard: int = 0, other_positives: bool = False) -> Tensor:
    """Return one direction of CMKIC.

    Args:
        similarity: s (B, B) between anchors and samples of the other modality, over tau; or several such.
        same: (B, B) boolean, likewise, true where the identities agree.
        k_hard: K; 0 is half of an anchor's positives, at least one. An anchor with fewer uses all that it has.
        other_positives: include all positives of the anchor in the denominator, not only the one in the numerator.

    Returns:
        the mean over the anchors that have a positive, 0 if none has; summed over the matrices.
    """
    positives = same.sum(-1, keepdim=True)
    wanted = (positives // 2).clamp_min(1) if k_hard == 0 else torch.full_like(positives, k_hard)
    used = torch.minimum(wanted, positives)
    # Rank of each sample among the anchor's positives, least similar first.
    rank = similarity.detach().masked_fill(~same, torch.inf).argsort(-1).argsort(-1)
    anchors = (positives > 0).sum(-2, keepdim=True).clamp_min(1)
    # Of each term in the mean; 0 for samples that are not among the hardest positives.
    weights = (same & (rank < used)) / (used.clamp_min(1) * anchors).to(similarity.dtype)
    if other_positives:
        terms = similarity.logsumexp(-1, keepdim=True) - similarity
    else:
        # A large finite value, since logsumexp has no gradient for a row of infinities (an anchor without negatives).
        low = torch.finfo(similarity.dtype).min / 2
        terms = F.softplus(similarity.masked_fill(same, low).logsumexp(-1, keepdim=True) - similarity)
    return (terms * weights).sum()


def cmkic(
    z_visible: Tensor,
    z_infrared: Tensor,
    targets_visible: Tensor,
    targets_infrared: Tensor,
    temperature: float = 0.1,
    k_hard: int = 0,
    other_positives: bool = False,
) -> Tensor:
    """Return L_CMKIC = L_VI + L_IV.

    Args:
        z_visible: projections (n, D) of visible images; normalized here.
        z_infrared: projections (m, D) of infrared images; normalized here.
        targets_visible: (n,).
        targets_infrared: (m,).
        temperature: tau.
        k_hard: K; 0 is half of an anchor's positives.
        other_positives: see `key_instance_contrast`.
    """
    similarity = F.normalize(z_visible) @ F.normalize(z_infrared).T / temperature
    same = targets_visible[:, None] == targets_infrared[None, :]
    form = k_hard, other_positives
    if len(z_visible) == len(z_infrared):
        # Both directions in one call.
        both = torch.stack([similarity, similarity.T]), torch.stack([same, same.T])
        return key_instance_contrast(*both, *form)
    return key_instance_contrast(similarity, same, *form) + key_instance_contrast(similarity.T, same.T, *form)


@LOSS_REGISTRY.register()
class CMKIC(Loss):
    """`cmkic` on `inputs.projection`.

    Args:
        temperature: tau, temperature of the similarities.
        k_hard: K, number of hardest positives per anchor; 0 is half of them.
        other_positives: include all positives of the anchor in the denominator, not only the one in the numerator.
        ramp_iters: iterations over which the weight rises linearly from 0 to SCALE; 0 is no ramp.
        scale: lambda1, weight of the loss.

    Raises:
        ConfigError: `ramp_iters` is negative.
    """

    def __init__(
        self,
        *,
        temperature: float = 0.1,
        k_hard: int = 0,
        other_positives: bool = False,
        ramp_iters: int = 0,
        scale: float = 1.0,
    ) -> None:
        super().__init__(scale=scale)
        if ramp_iters < 0:
            raise ConfigError(f"MODEL.LOSSES.CMKIC.RAMP_ITERS: must be at least 0 (no ramp), got {ramp_iters}")
        self.temperature, self.k_hard, self.other_positives = temperature, k_hard, other_positives
        self.ramp_iters = ramp_iters

    def applies(self, inputs: LossInputs) -> bool:
        """Return whether the inputs have a projection (`MODEL.HEADS.PROJECTION_DIM` above 0)."""
        return inputs.projection is not None

    def compute(self, inputs: LossInputs) -> Tensor:
        """Return the loss of `inputs.projection` (B, D), times the ramp."""
        assert inputs.projection is not None
        z_visible, z_infrared = inputs.by_modality(full_precision(inputs.projection))
        visible, infrared = inputs.by_modality(inputs.targets)
        value = cmkic(z_visible, z_infrared, visible, infrared, self.temperature, self.k_hard, self.other_positives)
        return self.ramp() * value

    def ramp(self) -> float:
        """Return the fraction of the weight at the current iteration, between 0 and 1.

        The iteration comes from fast-reid's event storage, which a resumed run continues. Outside a run there is none,
        and the fraction is 1.
        """
        if not self.ramp_iters or not events._CURRENT_STORAGE_STACK:
            return 1.0
        iteration: int = events.get_event_storage().iter
        return min(1.0, iteration / self.ramp_iters)
