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

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from fastreid.config import CfgNode
from torch import Tensor

from vireid_plugins.config.keys import arguments
from vireid_plugins.errors import ConfigError, require_name
from vireid_plugins.layers.centers import centers, identity_weights
from vireid_plugins.layers.distances import euclidean
from vireid_plugins.layers.precision import full_precision
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


def off_diagonal(distance: Tensor) -> Tensor:
    """Return `distance` (n, n) without its diagonal, (n, n - 1)."""
    n = len(distance)
    return distance.flatten()[:-1].view(n - 1, n + 1)[:, 1:].reshape(n, n - 1)


def cross_alignment(a: Tensor, b: Tensor, direction: str = "printed", reduction: str = "batchmean") -> Tensor:
    """Return L_tgsa(a; b) of the paper.

    Args:
        a: (n, D), the teacher.
        b: (n, D), the student; row i is the same image or identity as row i of `a`.
        direction: see `divergence`.
        reduction: see `divergence`.
    """
    aa, ab, bb = euclidean(a, a), euclidean(a, b), euclidean(b, b)
    pairs = ((aa, bb), (aa, ab), (ab, bb))
    return torch.stack([divergence(p, q, direction, reduction) for p, q in pairs]).sum()


def self_alignment(a: Tensor, b: Tensor, direction: str = "symmetric", reduction: str = "batchmean") -> Tensor:
    """Return the divergence of S(a) and S(b), affinities without diagonals: the released TGSA of one modality.

    Args:
        a: (n, D).
        b: (n, D).
        direction: see `divergence`.
        reduction: see `divergence`.
    """
    return divergence(off_diagonal(euclidean(a, a)), off_diagonal(euclidean(b, b)), direction, reduction)


def mixture_alignment(
    visible: Tensor, infrared: Tensor, direction: str = "symmetric", reduction: str = "batchmean"
) -> Tensor:
    """Return the released graph alignment of the modalities, through the mixture f_X.

    Args:
        visible: f_V (n, D), n even.
        infrared: f_I (n, D).
        direction: see `divergence`.
        reduction: see `divergence`.

    Raises:
        ValueError: n is odd.
    """
    if len(visible) % 2:
        raise ValueError(
            f"the mixture form cannot halve {len(visible)} images per modality; choose SOLVER.IMS_PER_BATCH and "
            "DATALOADER.NUM_INSTANCE so that P x K is even, or the form 'cross'"
        )
    half = len(visible) // 2
    mixture = torch.cat([visible[:half], infrared[:half]])
    pairs = ((visible, infrared), (visible, mixture), (mixture, infrared))
    return torch.stack([self_alignment(p, q, direction, reduction) for p, q in pairs]).sum()


def instance_rows(logits: Tensor, instances: int) -> Tensor:
    """Return logits (P * K, N) as (K, P * N): row k concatenates the k-th image of every identity."""
    return logits.view(-1, instances, logits.shape[1]).transpose(0, 1).flatten(1)


def class_alignment(
    a: Tensor, b: Tensor, instances: int = 0, direction: str = "printed", reduction: str = "batchmean"
) -> Tensor:
    """Return KL between the class distributions of logits (n, N).

    Args:
        a: logits of the first distribution.
        b: logits of the second.
        instances: K, adds the instance-wise divergence (released code); 0 leaves it out.
        direction: see `divergence`.
        reduction: see `divergence`.
    """
    value = divergence(a, b, direction, reduction)
    if instances:
        by_instance = instance_rows(a, instances), instance_rows(b, instances)
        value = value + divergence(*by_instance, direction, reduction)
    return value


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
        align = cross_alignment if self.form == "cross" else self_alignment
        assert isinstance(inputs, IDKLInputs)
        specific = inputs.by_modality(full_precision(inputs.specific.pooled))
        shared = inputs.by_modality(full_precision(inputs.branches["sh"].pooled))
        values = [align(teacher, student, *self.divergence) for teacher, student in zip(specific, shared, strict=True)]
        return values[0] + values[1]


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
        shared = inputs.by_modality(full_precision(inputs.branches["sh"].logits))
        specific = inputs.by_modality(full_precision(inputs.specific.logits))
        pairs = zip(shared, specific, strict=True)
        values = [class_alignment(a, b, self.instances, *self.divergence) for a, b in pairs]
        return values[0] + values[1]


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
        logits = inputs.by_modality(full_precision(shared.logits))
        values = {"mdr_class": class_alignment(*logits, self.instances, *self.divergence)}
        if self.graph:
            align = cross_alignment if self.form == "cross" else mixture_alignment
            values["mdr_graph"] = align(*inputs.by_modality(full_precision(shared.pooled)), *self.divergence)
        return values


DIRECTIONS = ("printed", "reversed", "symmetric")
DIVERGENCE_REDUCTIONS = ("batchmean", "sum")


def divergence(a: Tensor, b: Tensor, direction: str = "printed", reduction: str = "batchmean") -> Tensor:
    """Return KL(softmax a || softmax b), summed or averaged over rows.

    Args:
        a: scores (n, m) of the first distribution.
        b: scores (n, m) of the second.
        direction: `printed` is KL(a || b), `reversed` KL(b || a), `symmetric` their sum.
        reduction: `sum` over rows, or `batchmean`, which does not depend on their number.
    """
    log_a, log_b = F.log_softmax(a, dim=1), F.log_softmax(b, dim=1)
    pairs = {"printed": [(log_a, log_b)], "reversed": [(log_b, log_a)]}
    pairs["symmetric"] = [*pairs["printed"], *pairs["reversed"]]
    terms = [F.kl_div(q, p, reduction=reduction, log_target=True) for p, q in pairs[direction]]
    return terms[0] if len(terms) == 1 else terms[0] + terms[1]


def check_divergence(node: str, direction: str, reduction: str) -> None:
    """Raise a `ConfigError` that names the key below `MODEL.LOSSES.<node>` unless both values are known."""
    require_name(f"MODEL.LOSSES.{node}.KL", direction, DIRECTIONS)
    require_name(f"MODEL.LOSSES.{node}.REDUCTION", reduction, DIVERGENCE_REDUCTIONS)


PURIFIER_FORMS = ("paper", "released")
LABELS = ("true", "pseudo")
HEAD_REDUCTIONS = ("sum", "mean")


def entropy(logits: Tensor) -> Tensor:
    """Return the entropy (n,) of the softmax rows of logits (n, N)."""
    log_p = F.log_softmax(logits, dim=1)
    return -(log_p.exp() * log_p).sum(1)


def purified_entropy(purified: Tensor, raw: Tensor, form: str = "paper") -> Tensor:
    """Return L_e.

    Args:
        purified: logits (n, N) of f_d+.
        raw: logits (n, N) of f_sp.
        form: one of PURIFIER_FORMS.
    """
    difference = entropy(purified) - entropy(raw)
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
    of = targets[:visible]

    def distance(x: Tensor) -> Tensor:
        both = [centers(x[part], targets[part], of) for part in (slice(None, visible), slice(visible, None))]
        norms: Tensor = torch.linalg.vector_norm(both[0] - both[1] + 1e-6, dim=1)
        return norms

    difference = distance(kept) - distance(normalized)
    weights = identity_weights(of, difference.dtype)
    terms = F.softplus(difference) if form == "paper" else difference.relu()
    return (weights * terms).sum() / weights.sum()


def pseudo_labels(labels: Tensor, visible: int) -> Tensor:
    """Return modality labels (B,) with every second row of each modality flipped."""
    rows = torch.arange(len(labels))
    odd = torch.where(rows < visible, rows, rows - visible) % 2 == 1
    return torch.where(odd, 1 - labels, labels)


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
        device = inputs.targets.device
        true = inputs.modalities.long()
        confused = pseudo_labels(true, inputs.visible_rows) if self.confuser_labels == "pseudo" else true
        values = {}
        groups = (("confuser", inputs.confusers, confused), ("discriminator", inputs.discriminators, true))
        for group, logits, labels in groups:
            if logits:
                on_device = labels.to(device, non_blocking=True)
                terms = torch.stack([F.cross_entropy(full_precision(each), on_device) for each in logits])
                values[group] = terms.sum() if self.reduction == "sum" else terms.mean()
        return values
