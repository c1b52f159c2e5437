"""Losses of IDKL (Ren and Zhang, CVPR 2024, arXiv 2403.11708): alignments, purifier losses and modality heads.

The affinity A_ab (eq. 15) is the row softmax of the Euclidean distances, with a plus sign, between the pooled features
of a and of b. In the paper (eq. 16), summed over rows:

    L_tgsa(a; b) = KL(A_aa, A_bb) + KL(A_aa, A_ab) + KL(A_ab, A_bb)

between (sp,V; sh,V) and (sp,I; sh,I) (eq. 17); "sp" is the purified branch (released code; the paper's symbol is
ambiguous). In the released code S is an affinity without its diagonal, divergences sKL are symmetric, and TGSA has no
cross matrix. With f the shared and s the specific features, z the shared logits, and f_X the first half of f_V followed
by the first half of f_I:

    TGSA: sKL(S(f_V), S(s_V)) + sKL(S(f_I), S(s_I))
    MDR:  sKL(S(f_V), S(f_I)) + sKL(S(f_V), S(f_X)) + sKL(S(f_X), S(f_I))
          + sKL(z_V, z_I) + instance-wise sKL(z_V, z_I)

CSA (eq. 19) is KL(Z_sh,V, Z_sp,V) + KL(Z_sh,I, Z_sp,I) on logits. The released code adds the instance-wise form, the
same on rows that concatenate the logits of the k-th images of all identities.

Purifier losses, with h the entropy of a softmax row and d(a) the distance between an identity's two modality centers of
a (the paper leaves d open; we use the released code's, the norm of the difference + 1e-6), are means over images (L_e)
and identities (L_r):

            paper                                       released code
    L_e     eq. 10: Softplus(h(C(f_d+)) - h(C(f_sp)))   exp(relu(h(C(f_d+)) - h(C(f_sp)))), mean - 1
    L_r     eq. 11: Softplus(d(f_m-) - d(IN f))         relu(d(f_m-) - d(IN f))

The losses of the modality heads (eq. 2-4) are cross-entropies with the modality as label, summed over the heads. In the
paper the confusers come after a gradient reversal layer. The released code trains its confuser on fixed pseudo-labels
instead: row j of each modality has its true label if j is even, the other one if j is odd.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from fastreid.config import CfgNode
from torch import Tensor

from vireid_plugins.config.keys import arguments
from vireid_plugins.errors import ConfigError, require_name
from vireid_plugins.layers.distances import euclidean
from vireid_plugins.layers.precision import full_precision
from vireid_plugins.methods.idkl.alignments import (
    DIRECTIONS,
    DIVERGENCE_REDUCTIONS,
    class_alignments,
    divergences,
    graphs_of,
)
from vireid_plugins.modeling.loss_inputs import Branch, LossInputs, map_tensors
from vireid_plugins.modeling.losses.base import LOSS_REGISTRY, Loss

ALIGNMENT_FORMS = ("cross", "mixture")


@dataclass(frozen=True, kw_only=True)
class PurifierTerms:
    """Inputs of the purifier losses.

    Attributes:
        discriminative_logits: logits (B, N) of f_d+.
        raw_logits: logits (B, N) of f_sp.
        kept_pooled: f_m- (B, D).
        normalized_pooled: IN f (B, D).
    """

    discriminative_logits: Tensor
    raw_logits: Tensor
    kept_pooled: Tensor
    normalized_pooled: Tensor


@dataclass(frozen=True, kw_only=True)
class IDKLInputs(LossInputs):
    """The shared branch `sh`, and the inputs of the alignments, the purifier losses and the modality heads.

    Attributes:
        specific: the purified specific branch, or the raw one without a purifier.
        purifier: None without a purifier.
        confusers: modality logits (B, 2) of the heads on the shared branch.
        discriminators: modality logits (B, 2) of the heads on the specific branch.
    """

    specific: Branch
    purifier: PurifierTerms | None = None
    confusers: Sequence[Tensor] = ()
    discriminators: Sequence[Tensor] = ()


class AlignmentLoss(Loss):
    """An alignment on `IDKLInputs`: the divergence that all three share.

    Args:
        instances: K of the batch, for the instance-wise terms; 0 leaves them out.
        kl: direction of the divergences: "printed" (as in the paper), "reversed" or "symmetric".
        reduction: "batchmean", which does not depend on the batch size, or the paper's "sum" over samples.

    Raises:
        ConfigError: the direction or the reduction is unknown.
    """

    needs: ClassVar[str] = "IDKL's shared and specific branches (IDKLInputs)"

    def __init__(
        self, instances: int = 0, *, kl: str = "printed", reduction: str = "batchmean", scale: float = 1.0
    ) -> None:
        super().__init__(scale=scale)
        check_divergence(self.node(), kl, reduction)
        self.instances = instances
        self.divergence = (kl, reduction)

    @classmethod
    def arguments(cls, cfg: CfgNode) -> dict[str, Any]:
        """Return the constructor's arguments; `INSTANCE_WISE` becomes the K of the batch."""
        values = arguments(cfg.MODEL.LOSSES[cls.node()])
        if "instance_wise" in values:
            values["instances"] = cfg.DATALOADER.NUM_INSTANCE if values.pop("instance_wise") else 0
        return values

    @classmethod
    def from_config(cls, cfg: CfgNode) -> "AlignmentLoss":
        """Build from the node of `MODEL.LOSSES`."""
        return cls(**cls.arguments(cfg))

    def applies(self, inputs: LossInputs) -> bool:
        """Return whether the method has a shared and a specific branch."""
        return isinstance(inputs, IDKLInputs)


class GraphAlignmentLoss(AlignmentLoss):
    """An alignment of affinity graphs in one of two forms.

    Args:
        form: "cross" uses the cross affinity (paper); "mixture" does not, and relates the modalities through a mixture
            of half of each (released code).

    Raises:
        ConfigError: the form is unknown.
    """

    def __init__(self, *, form: str = "cross", **arguments: Any) -> None:
        super().__init__(**arguments)
        require_name(f"MODEL.LOSSES.{self.node()}.FORM", form, ALIGNMENT_FORMS)
        self.form = form


@LOSS_REGISTRY.register()
class TGSA(GraphAlignmentLoss):
    """Aligns the graph of the shared features with that of the purified specific ones, in each modality.

    Args:
        scale: lambda2, weight of the loss.
    """

    def __init__(self, *, scale: float = 0.6, **arguments: Any) -> None:
        super().__init__(scale=scale, **arguments)

    def compute(self, inputs: LossInputs) -> Tensor:
        """Return the sum over modalities."""
        assert isinstance(inputs, IDKLInputs)
        shared, specific = inputs.branches["sh"].pooled, inputs.specific.pooled
        graphs = list(inputs.distances.within([specific, shared]).unbind())
        if self.form == "cross":
            graphs.insert(1, euclidean(full_precision(specific), full_precision(shared)))
        # Rows relate to those of their own modality alone; both modalities are computed in one call.
        modality = inputs.modalities.numpy()
        left_out = modality[:, None] != modality
        if self.form == "mixture":
            left_out = left_out | np.eye(len(modality), dtype=bool)
        # Their softmax is 0, and the logarithm of it the same large number in every distribution.
        scores = torch.stack(graphs)
        low = torch.finfo(scores.dtype).min / 8
        scores = scores.masked_fill(torch.from_numpy(left_out).to(scores.device, non_blocking=True), low)
        return _over_modalities(inputs, scores, lambda some: divergences(some, *self.divergence))


@LOSS_REGISTRY.register()
class CSA(AlignmentLoss):
    """Aligns the class distributions of the shared and the purified specific branch, in each modality.

    Args:
        instances: see `AlignmentLoss`.
        scale: lambda3, weight of the loss.
    """

    def __init__(self, instances: int = 0, *, scale: float = 0.8, **arguments: Any) -> None:
        super().__init__(instances, scale=scale, **arguments)

    def compute(self, inputs: LossInputs) -> Tensor:
        """Return the sum over modalities."""
        assert isinstance(inputs, IDKLInputs)
        logits = full_precision(torch.stack([inputs.branches["sh"].logits, inputs.specific.logits]))
        return _over_modalities(inputs, logits, lambda some: class_alignments(some, self.instances, *self.divergence))


@LOSS_REGISTRY.register()
class MDR(GraphAlignmentLoss):
    """Modality discrepancy reduction (eq. 20): both alignments between the modalities of the shared branch.

    Args:
        graph: include the graph alignment; the released code leaves it out on RegDB.
    """

    def __init__(self, *, graph: bool = True, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.graph = graph

    @classmethod
    def arguments(cls, cfg: CfgNode) -> dict[str, Any]:
        """Return the constructor's arguments.

        Raises:
            ConfigError: the mixture form cannot halve a modality's images.
        """
        values = super().arguments(cfg)
        images = cfg.SOLVER.IMS_PER_BATCH // 2
        if values["form"] == "mixture" and values["graph"] and images % 2:
            raise ConfigError(
                f"SOLVER.IMS_PER_BATCH: {2 * images} is {images} images per modality, which MODEL.LOSSES.MDR.FORM "
                "mixture cannot halve; choose a multiple of 4, or the form cross"
            )
        return values

    def compute(self, inputs: LossInputs) -> dict[str, Tensor]:
        """Return the class alignment, and the graph alignment with `graph`."""
        shared = inputs.branches["sh"]
        logits = full_precision(shared.logits).unflatten(0, (2, -1))
        values = {"mdr_class": class_alignments(logits, self.instances, *self.divergence)}
        if self.graph:
            graphs = graphs_of(inputs.distances.within([shared.pooled])[0], self.form)
            values["mdr_graph"] = divergences(graphs, *self.divergence)
        return values


def _over_modalities(inputs: LossInputs, scores: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    """Return the sum of a function's values on the visible and on the infrared rows of scores (k, B, m).

    Args:
        inputs: inputs of the loss.
        scores: (k, B, m).
        function: takes (k, n, m), or (k, 2, n, m) with the same number of rows in each modality, over which it sums.
    """
    visible = inputs.visible_rows
    if 2 * visible == scores.shape[1]:
        return function(scores.unflatten(1, (2, -1)))
    return function(scores[:, :visible]) + function(scores[:, visible:])


def check_divergence(node: str, direction: str, reduction: str) -> None:
    """Raise a `ConfigError` that names the key below `MODEL.LOSSES.<node>` unless both values are known."""
    require_name(f"MODEL.LOSSES.{node}.KL", direction, DIRECTIONS)
    require_name(f"MODEL.LOSSES.{node}.REDUCTION", reduction, DIVERGENCE_REDUCTIONS)


PURIFIER_FORMS = ("paper", "released")
LABELS = ("true", "pseudo")
HEAD_REDUCTIONS = ("sum", "mean")


def entropy(logits: Tensor) -> Tensor:
    """Return the entropy (..., n) of the softmax rows of logits (..., n, N)."""
    log_p = F.log_softmax(logits, dim=-1)
    return -(log_p.exp() * log_p).sum(-1)


def purified_entropy(purified: Tensor, raw: Tensor, form: str = "paper") -> Tensor:
    """Return L_e.

    Args:
        purified: logits (n, N) of f_d+.
        raw: logits (n, N) of f_sp.
        form: one of PURIFIER_FORMS.
    """
    of_purified, of_raw = entropy(torch.stack([purified, raw]))
    difference = of_purified - of_raw
    return F.softplus(difference).mean() if form == "paper" else difference.relu().exp().mean() - 1


def purified_relation(kept: Tensor, normalized: Tensor, targets: Tensor, visible: int, form: str = "paper") -> Tensor:
    """Return L_r, the mean over identities.

    Args:
        kept: f_m- (B, D), the visible rows first.
        normalized: IN f (B, D).
        targets: (B,); both modalities have the same identities.
        visible: number of visible rows.
        form: one of PURIFIER_FORMS.
    """
    same = (targets[:visible, None] == targets).to(kept.dtype)
    # Row i of the product is the center of identity y_i in the one modality minus that in the other.
    halves = same[:, :visible], same[:, visible:]
    counts = [half.sum(1, keepdim=True) for half in halves]
    apart = torch.cat([halves[0] / counts[0], halves[1] / -counts[1].clamp_min(1)], dim=1)
    of_kept, of_normalized = torch.linalg.vector_norm(apart @ torch.stack([kept, normalized]) + 1e-6, dim=2)
    difference = of_kept - of_normalized
    weights = 1 / counts[0][:, 0]
    terms = F.softplus(difference) if form == "paper" else difference.relu()
    return (terms * (weights / weights.sum())).sum()


def pseudo_labels(labels: Tensor, visible: int) -> Tensor:
    """Return modality labels (B,), on the host, with every second row of each modality flipped."""
    rows = np.arange(len(labels))
    odd = np.where(rows < visible, rows, rows - visible) % 2
    return torch.from_numpy(labels.numpy() ^ odd)


@LOSS_REGISTRY.register()
class Purification(Loss):
    """L_e + L_r on `IDKLInputs.purifier`.

    Args:
        form: "paper" uses softplus; "released" uses exp(relu) - 1 for L_e and relu for L_r.
        scale: lambda1, weight of the loss.

    Raises:
        ConfigError: the form is unknown.
    """

    needs: ClassVar[str] = "what IDKL's purifier computes (IDKLInputs)"

    def __init__(self, *, form: str = "paper", scale: float = 0.1) -> None:
        super().__init__(scale=scale)
        require_name("MODEL.LOSSES.PURIFICATION.FORM", form, PURIFIER_FORMS)
        self.form = form

    def applies(self, inputs: LossInputs) -> bool:
        """Return whether the method has a purifier."""
        return isinstance(inputs, IDKLInputs) and inputs.purifier is not None

    def compute(self, inputs: LossInputs) -> dict[str, Tensor]:
        """Return L_e and L_r."""
        assert isinstance(inputs, IDKLInputs)
        assert inputs.purifier is not None
        terms = map_tensors(inputs.purifier, full_precision)
        relation = (terms.kept_pooled, terms.normalized_pooled, inputs.targets, inputs.visible_rows)
        return {
            "purifier_e": purified_entropy(terms.discriminative_logits, terms.raw_logits, self.form),
            "purifier_r": purified_relation(*relation, self.form),
        }


@LOSS_REGISTRY.register()
class ModalityHeads(Loss):
    """Cross-entropies of the modality: confusers on the shared branch, discriminators on the specific one.

    Args:
        confuser_labels: labels of the confusers: "true", behind a gradient reversal (paper), or "pseudo" (released
            code).
        reduction: reduction over the heads of L_C and over those of L_D: "sum" (the paper's eq. 2-4) or "mean" (ours).
            The released code has one head of each, where both are the same.

    Raises:
        ConfigError: the labels or the reduction are unknown.
    """

    needs: ClassVar[str] = "logits of IDKL's modality heads (IDKLInputs)"

    def __init__(self, *, confuser_labels: str = "true", reduction: str = "sum", scale: float = 1.0) -> None:
        super().__init__(scale=scale)
        require_name("MODEL.LOSSES.MODALITY_HEADS.CONFUSER_LABELS", confuser_labels, LABELS)
        require_name("MODEL.LOSSES.MODALITY_HEADS.REDUCTION", reduction, HEAD_REDUCTIONS)
        self.confuser_labels, self.reduction = confuser_labels, reduction

    def applies(self, inputs: LossInputs) -> bool:
        """Return whether the method has modality heads."""
        return isinstance(inputs, IDKLInputs) and bool(inputs.confusers or inputs.discriminators)

    def compute(self, inputs: LossInputs) -> dict[str, Tensor]:
        """Return one term for the confusers and one for the discriminators."""
        assert isinstance(inputs, IDKLInputs)
        true = inputs.modalities.long()
        confused = pseudo_labels(true, inputs.visible_rows) if self.confuser_labels == "pseudo" else true
        logits = full_precision(torch.stack([*inputs.confusers, *inputs.discriminators]))
        counts = len(inputs.confusers), len(inputs.discriminators)
        labels = np.repeat([confused.numpy(), true.numpy()], counts, axis=0)
        wanted = torch.from_numpy(labels).to(logits.device, non_blocking=True)
        terms = F.cross_entropy(logits.flatten(0, 1), wanted.flatten(), reduction="none").view(len(logits), -1).mean(1)
        groups = zip(("confuser", "discriminator"), terms.split(counts), strict=True)
        return {
            group: of_heads.sum() if self.reduction == "sum" else of_heads.mean()
            for group, of_heads in groups
            if len(of_heads)
        }
