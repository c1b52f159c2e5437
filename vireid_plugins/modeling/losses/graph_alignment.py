"""Graph and class alignment of IDKL (Ren and Zhang, CVPR 2024, arXiv 2403.11708): TGSA, CSA and MDR.

Affinity (eq. 15): the row softmax of + Euclidean distances between pooled features. Paper (eq. 16), A_ab the affinity
between the rows of a and of b, sums over rows:

    L_tgsa(a; b) = KL(A_aa, A_bb) + KL(A_aa, A_ab) + KL(A_ab, A_bb)

between (sp,V; sh,V) and (sp,I; sh,I) (eq. 17); "sp" is the purified branch (released code; the paper's symbol is
ambiguous). Released code: S removes the diagonal, divergences are symmetric, and TGSA has no cross matrix; inside MDR,
f_X is the first half of f_V with the first half of f_I:

    TGSA: sKL(S(f_V), S(s_V)) + sKL(S(f_I), S(s_I))
    MDR:  sKL(S(f_V), S(f_I)) + sKL(S(f_V), S(f_X)) + sKL(S(f_X), S(f_I)), and on logits sKL(z_V, z_I) + its
    instance-wise form

CSA (eq. 19): KL(Z_sh,V, Z_sp,V) + KL(Z_sh,I, Z_sp,I) on logits; the released code adds the same on the logits of the
k-th images of all identities side by side (instance-wise).
"""

from typing import Any

import torch
from fastreid.config import CfgNode
from torch import Tensor

from vireid_plugins.errors import ConfigError, require_name
from vireid_plugins.modeling.bundle import Bundle
from vireid_plugins.modeling.losses.base import LOSS_REGISTRY, Loss
from vireid_plugins.modeling.losses.distance import euclidean
from vireid_plugins.modeling.losses.divergence import check_divergence, divergence
from vireid_plugins.modeling.precision import full_precision

FORMS = ("cross", "mixture")


def off_diagonal(distance: Tensor) -> Tensor:
    """Return (n, n) without its diagonal, (n, n - 1)."""
    n = len(distance)
    return distance.flatten()[:-1].view(n - 1, n + 1)[:, 1:].reshape(n, n - 1)


def cross_alignment(a: Tensor, b: Tensor, direction: str = "printed", reduction: str = "batchmean") -> Tensor:
    """Return L_tgsa(a; b) of the paper.

    Args:
        a: (n, D), the teacher.
        b: (n, D), row i the same image or identity as row i of `a`.
        direction: see `divergence`.
        reduction: see `divergence`.
    """
    aa, ab, bb = euclidean(a, a), euclidean(a, b), euclidean(b, b)
    pairs = ((aa, bb), (aa, ab), (ab, bb))
    return torch.stack([divergence(p, q, direction, reduction) for p, q in pairs]).sum()


def self_alignment(a: Tensor, b: Tensor, direction: str = "symmetric", reduction: str = "batchmean") -> Tensor:
    """Return the divergence of the affinities S(a), S(b) without diagonals, the released TGSA of one modality.

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
    """Return the released form between the modalities, over the mixture f_X.

    Args:
        visible: f_V (n, D), n even.
        infrared: f_I (n, D).
        direction: see `divergence`.
        reduction: see `divergence`.

    Raises:
        ValueError: n is odd; choose an even P x K.
    """
    if len(visible) % 2:
        raise ValueError(
            f"the mixture form halves the {len(visible)} images of a modality: P x K must be even, choose "
            "SOLVER.IMS_PER_BATCH and DATALOADER.NUM_INSTANCE so, or the form 'cross'"
        )
    half = len(visible) // 2
    mixture = torch.cat([visible[:half], infrared[:half]])
    pairs = ((visible, infrared), (visible, mixture), (mixture, infrared))
    return torch.stack([self_alignment(p, q, direction, reduction) for p, q in pairs]).sum()


def instance_rows(logits: Tensor, instances: int) -> Tensor:
    """Return logits (P * K, N) as (K, P * N): row k is the k-th image of every identity side by side."""
    return logits.view(-1, instances, logits.shape[1]).transpose(0, 1).flatten(1)


def class_alignment(
    a: Tensor, b: Tensor, instances: int = 0, direction: str = "printed", reduction: str = "batchmean"
) -> Tensor:
    """Return KL between the class distributions of logits (n, N).

    Args:
        a: first distribution.
        b: second one.
        instances: K; with it the instance-wise divergence is added (released code). 0 is without.
        direction: see `divergence`.
        reduction: see `divergence`.
    """
    value = divergence(a, b, direction, reduction)
    if instances:
        by_instance = instance_rows(a, instances), instance_rows(b, instances)
        value = value + divergence(*by_instance, direction, reduction)
    return value


class AlignmentLoss(Loss):
    """What the three share: divergence, and the two branches of the bundle.

    The bundle's branch `sh` is the shared one, `bundle.extra` has the purified specific one's `specific_pooled` (B, D)
    and `specific_logits` (B, N).

    Args:
        kl: see `divergence`.
        reduction: see `divergence`.
        instances: K of the batch, for the instance-wise terms; 0 leaves them out.
        scale: weight of the loss.
    """

    def __init__(
        self,
        *,
        kl: str = "printed",
        reduction: str = "batchmean",
        instances: int = 0,
        scale: float = 1.0,
    ) -> None:
        super().__init__(scale=scale)
        check_divergence(self.node, kl, reduction)
        self.instances = instances
        self.divergence = (kl, reduction)

    @classmethod
    def arguments(cls, cfg: CfgNode) -> dict[str, Any]:
        """Return the constructor's arguments; `INSTANCE_WISE` becomes the K of the batch."""
        found = {key.lower(): value for key, value in cfg.MODEL.LOSSES[cls.node].items()}
        if "instance_wise" in found:
            found["instances"] = cfg.DATALOADER.NUM_INSTANCE if found.pop("instance_wise") else 0
        return found

    @classmethod
    def from_config(cls, cfg: CfgNode) -> "AlignmentLoss":
        """Build from `MODEL.LOSSES.<node>`."""
        return cls(**cls.arguments(cfg))

    def applies(self, bundle: Bundle) -> bool:
        """Say whether the bundle has a shared and a purified branch."""
        return "sh" in bundle.branches and "specific_pooled" in bundle.extra


class GraphAlignmentLoss(AlignmentLoss):
    """An alignment of graphs in one of two forms.

    Args:
        form: `cross`, the paper's, or `mixture`, the released code's.
        arguments: see `AlignmentLoss`.
    """

    def __init__(self, *, form: str = "cross", **arguments: Any) -> None:
        super().__init__(**arguments)
        require_name(f"MODEL.LOSSES.{self.node}.FORM", form, FORMS)
        self.form = form


@LOSS_REGISTRY.register()
class TGSA(GraphAlignmentLoss):
    """Aligns the graph of the shared features with that of the purified specific ones, in each modality."""

    label = "tgsa"
    node = "TGSA"

    def compute(self, bundle: Bundle) -> Tensor:
        """Return the sum over modalities."""
        align = cross_alignment if self.form == "cross" else self_alignment
        specific = bundle.by_modality(full_precision(bundle.extra["specific_pooled"]))
        shared = bundle.by_modality(full_precision(bundle.branches["sh"].pooled))
        values = [align(teacher, student, *self.divergence) for teacher, student in zip(specific, shared, strict=True)]
        return values[0] + values[1]


@LOSS_REGISTRY.register()
class CSA(AlignmentLoss):
    """Aligns the class distributions of the shared and the purified specific branch, in each modality."""

    label = "csa"
    node = "CSA"

    def compute(self, bundle: Bundle) -> Tensor:
        """Return the sum over modalities."""
        shared = bundle.by_modality(full_precision(bundle.branches["sh"].logits))
        specific = bundle.by_modality(full_precision(bundle.extra["specific_logits"]))
        pairs = zip(shared, specific, strict=True)
        values = [class_alignment(a, b, self.instances, *self.divergence) for a, b in pairs]
        return values[0] + values[1]


@LOSS_REGISTRY.register()
class MDR(GraphAlignmentLoss):
    """Modality discrepancy reduction (eq. 20): both alignments between the modalities of the shared branch.

    Args:
        graph: with the alignment of graphs; without it on RegDB in the released code.
        arguments: see `GraphAlignmentLoss`.
    """

    label = "mdr"
    node = "MDR"

    def __init__(self, *, graph: bool = True, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.graph = graph

    @classmethod
    def arguments(cls, cfg: CfgNode) -> dict[str, Any]:
        """Return the constructor's arguments, after checking that the mixture form can halve a modality's images."""
        found = super().arguments(cfg)
        images = cfg.SOLVER.IMS_PER_BATCH // 2
        if found["form"] == "mixture" and found["graph"] and images % 2:
            raise ConfigError(
                f"SOLVER.IMS_PER_BATCH: {2 * images} is {images} images a modality, which MODEL.LOSSES.MDR.FORM "
                "mixture cannot halve; choose a multiple of 4, or the form cross"
            )
        return found

    def compute(self, bundle: Bundle) -> dict[str, Tensor]:
        """Return both parts."""
        shared = bundle.branches["sh"]
        logits = bundle.by_modality(full_precision(shared.logits))
        values = {"mdr_class": class_alignment(*logits, self.instances, *self.divergence)}
        if self.graph:
            align = cross_alignment if self.form == "cross" else mixture_alignment
            values["mdr_graph"] = align(*bundle.by_modality(full_precision(shared.pooled)), *self.divergence)
        return values
