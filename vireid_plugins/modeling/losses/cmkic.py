"""CMKIC, Cross-Modality Key-Instance Contrastive loss, of WRIM-Net (ECCV 2024, arXiv 2408.10624).

Stated by the paper: same-identity samples of the other modality are pulled together. Second-hand: the K hardest
positives, and the sum of a visible-to-infrared and an infrared-to-visible term. The formula is ours, its equations were
not available to us:

    L_VI = -mean_i (1 / K) sum_{p in T(i)} log( e^{s_ip} / (e^{s_ip} + sum_{n in N(i)} e^{s_in}) )

with s_ij = z_i . z_j / tau on L2-normalised z, T(i) the K least similar same-identity samples of the other modality and
N(i) its other-identity samples.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from vireid_plugins.modeling.bundle import Bundle
from vireid_plugins.modeling.losses.base import LOSS_REGISTRY, Loss
from vireid_plugins.modeling.precision import full_precision


def key_instance_contrast(similarity: Tensor, same: Tensor, k_hard: int = 0) -> Tensor:
    """Return one direction of CMKIC.

    Args:
        similarity: s (n, m) between anchors and samples of the other modality, divided by tau.
        same: (n, m) boolean, true where the identities agree.
        k_hard: K; 0 is half of an anchor's positives, at least one. No anchor uses more than it has.

    Returns:
        the mean over the anchors that have a positive; 0 if none has.
    """
    positives = same.sum(1, keepdim=True)
    wanted = (positives // 2).clamp_min(1) if k_hard == 0 else torch.full_like(positives, k_hard)
    used = torch.minimum(wanted, positives)
    # Rank of each sample among the anchor's positives, least similar first.
    rank = similarity.detach().masked_fill(~same, torch.inf).argsort(1).argsort(1)
    hardest = same & (rank < used)
    # A large finite value, since logsumexp has no gradient for a row of infinities (an anchor without negatives).
    low = torch.finfo(similarity.dtype).min / 2
    negatives = similarity.masked_fill(same, low).logsumexp(1, keepdim=True)
    terms = F.softplus(negatives - similarity) * hardest
    anchors = (positives > 0).sum().clamp_min(1)
    return (terms.sum(1, keepdim=True) / used.clamp_min(1)).sum() / anchors


def cmkic(
    z_visible: Tensor,
    z_infrared: Tensor,
    targets_visible: Tensor,
    targets_infrared: Tensor,
    temperature: float = 0.1,
    k_hard: int = 0,
) -> Tensor:
    """Return L_CMKIC = L_VI + L_IV.

    Args:
        z_visible: (n, D) projections of visible images, normalised here.
        z_infrared: (m, D) of infrared images.
        targets_visible: (n,).
        targets_infrared: (m,).
        temperature: tau.
        k_hard: K; 0 is half of an anchor's positives.
    """
    similarity = F.normalize(z_visible) @ F.normalize(z_infrared).T / temperature
    same = targets_visible[:, None] == targets_infrared[None, :]
    return key_instance_contrast(similarity, same, k_hard) + key_instance_contrast(similarity.T, same.T, k_hard)


@LOSS_REGISTRY.register()
class CMKIC(Loss):
    """`cmkic` on `bundle.projection`.

    Args:
        temperature: tau.
        k_hard: K; 0 is half of an anchor's positives.
        scale: lambda1, weight of the loss.
    """

    label = "cmkic"
    node = "CMKIC"

    def __init__(self, *, temperature: float = 0.1, k_hard: int = 0, scale: float = 1.0) -> None:
        super().__init__(scale=scale)
        self.temperature, self.k_hard = temperature, k_hard

    def applies(self, bundle: Bundle) -> bool:
        """Say whether the bundle has a projection (`MODEL.HEADS.PROJECTION_DIM` above 0)."""
        return bundle.projection is not None

    def compute(self, bundle: Bundle) -> Tensor:
        """Return the loss of `bundle.projection` (B, D)."""
        assert bundle.projection is not None
        z_visible, z_infrared = bundle.by_modality(full_precision(bundle.projection))
        visible, infrared = bundle.by_modality(bundle.targets)
        return cmkic(z_visible, z_infrared, visible, infrared, self.temperature, self.k_hard)
