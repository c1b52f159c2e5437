"""The losses of IDKL's information purifier and of its modality heads (CVPR 2024, arXiv 2403.11708).

h is the entropy of a softmax row, d(a_V, a_I) the distance of an identity's two modality centroids (the paper leaves d
open; the released code's, norm of the difference + 1e-6, is taken).

            paper                                       released code
    L_e     eq. 10: Softplus(h(C(f_d+)) - h(C(f_sp)))   mean exp(relu(h(C(f_d+)) - h(C(f_sp)))) - 1
    L_r     eq. 11: Softplus(d(f_m-) - d(IN f))         mean relu(d(f_m-) - d(IN f))

The modality heads (eq. 2-4) are cross-entropies with the modality as label, summed over the heads. In the paper the
confusers stand behind a gradient reversal layer; the released code trains its confuser on fixed pseudo labels instead:
row j of either modality has its true label if j is even, the other one if j is odd.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from vireid_plugins.errors import require_name
from vireid_plugins.modeling.bundle import Bundle
from vireid_plugins.modeling.losses.base import LOSS_REGISTRY, Loss
from vireid_plugins.modeling.losses.centres import centres, identity_weights
from vireid_plugins.modeling.precision import full_precision

FORMS = ("paper", "released")
LABELS = ("true", "pseudo")
REDUCTIONS = ("sum", "mean")


def entropy(logits: Tensor) -> Tensor:
    """Return the entropy (n,) of the softmax rows of logits (n, N)."""
    log_p = F.log_softmax(logits, dim=1)
    return -(log_p.exp() * log_p).sum(1)


def purified_entropy(purified: Tensor, raw: Tensor, form: str = "paper") -> Tensor:
    """Return L_e.

    Args:
        purified: logits (n, N) of f_d+.
        raw: logits (n, N) of f_sp.
        form: of FORMS.
    """
    difference = entropy(purified) - entropy(raw)
    return F.softplus(difference).mean() if form == "paper" else difference.relu().exp().mean() - 1


def purified_relation(kept: Tensor, normalised: Tensor, targets: Tensor, visible: int, form: str = "paper") -> Tensor:
    """Return L_r, the mean over identities.

    Args:
        kept: f_m- (B, D), the visible rows first.
        normalised: IN f (B, D).
        targets: (B,); both modalities have the same identities.
        visible: how many rows are visible.
        form: of FORMS.
    """
    of = targets[:visible]

    def distance(x: Tensor) -> Tensor:
        both = [centres(x[part], targets[part], of) for part in (slice(None, visible), slice(visible, None))]
        norms: Tensor = torch.linalg.vector_norm(both[0] - both[1] + 1e-6, dim=1)
        return norms

    difference = distance(kept) - distance(normalised)
    weights = identity_weights(of, difference.dtype)
    terms = F.softplus(difference) if form == "paper" else difference.relu()
    return (weights * terms).sum() / weights.sum()


def pseudo_labels(labels: Tensor, visible: int) -> Tensor:
    """Return labels (B,) of two modalities with every second row of either turned around."""
    rows = torch.arange(len(labels))
    odd = torch.where(rows < visible, rows, rows - visible) % 2 == 1
    return torch.where(odd, 1 - labels, labels)


@LOSS_REGISTRY.register()
class Purifier(Loss):
    """L_e + L_r on what the purifier leaves in `bundle.extra`.

    Args:
        form: `paper` or `released`.
        scale: lambda1.
    """

    label = "purifier"
    node = "PURIFIER"

    def __init__(self, *, form: str = "paper", scale: float = 0.1) -> None:
        super().__init__(scale=scale)
        require_name("MODEL.LOSSES.PURIFIER.FORM", form, FORMS)
        self.form = form

    def applies(self, bundle: Bundle) -> bool:
        """Say whether the method has a purifier."""
        return "kept_pooled" in bundle.extra

    def compute(self, bundle: Bundle) -> dict[str, Tensor]:
        """Return both terms."""
        extra = {name: full_precision(value) for name, value in bundle.extra.items()}
        relation = (extra["kept_pooled"], extra["normalised_pooled"], bundle.targets, bundle.visible_rows)
        return {
            "purifier_e": purified_entropy(extra["discriminative_logits"], extra["raw_logits"], self.form),
            "purifier_r": purified_relation(*relation, self.form),
        }


@LOSS_REGISTRY.register()
class ModalityHeads(Loss):
    """Cross-entropies of the modality: confusers on the shared branch, discriminators on the specific one.

    `bundle.extra` has the logits (B, 2) under names that begin with `confuser` or `discriminator`.

    Args:
        confuser_labels: `true`, where the network reverses the gradient, or `pseudo`, the released code's.
        reduction: over the heads of a group, `sum` (the paper's eq. 2-4) or `mean` (ours). The released code has one
            head a group, where both are the same.
        scale: weight of the loss.
    """

    label = "modality"
    node = "MODALITY_HEADS"

    def __init__(self, *, confuser_labels: str = "true", reduction: str = "sum", scale: float = 1.0) -> None:
        super().__init__(scale=scale)
        require_name("MODEL.LOSSES.MODALITY_HEADS.CONFUSER_LABELS", confuser_labels, LABELS)
        require_name("MODEL.LOSSES.MODALITY_HEADS.REDUCTION", reduction, REDUCTIONS)
        self.confuser_labels, self.reduction = confuser_labels, reduction

    def applies(self, bundle: Bundle) -> bool:
        """Say whether the method has modality heads."""
        return any(name.startswith(("confuser", "discriminator")) for name in bundle.extra)

    def compute(self, bundle: Bundle) -> dict[str, Tensor]:
        """Return a term for each group."""
        device = bundle.targets.device
        true = bundle.modalities.long()
        confused = pseudo_labels(true, bundle.visible_rows) if self.confuser_labels == "pseudo" else true
        values = {}
        for group, labels in (("confuser", confused), ("discriminator", true)):
            logits = [full_precision(value) for name, value in bundle.extra.items() if name.startswith(group)]
            if logits:
                here = labels.to(device, non_blocking=True)
                terms = torch.stack([F.cross_entropy(each, here) for each in logits])
                values[group] = terms.sum() if self.reduction == "sum" else terms.mean()
        return values
