"""fast-reid's own four losses under their own names and keys, so that `MODEL.LOSSES.NAME` lists all alike."""

from collections.abc import Callable
from typing import Any

from fastreid.config import CfgNode
from fastreid.modeling.losses import cross_entropy_loss, pairwise_circleloss, pairwise_cosface, triplet_loss
from torch import Tensor

from vireid_plugins.modeling.bundle import Branch
from vireid_plugins.modeling.losses.base import LOSS_REGISTRY, BranchLoss, full_precision


class _FastReidLoss(BranchLoss):
    """A function of fast-reid with the arguments its own `Baseline` gives it; on all branches."""

    # Tensor of a `Branch` it looks at.
    takes: str

    def __init__(self, function: Callable[..., Tensor], arguments: list[Any], scale: float = 1.0) -> None:
        super().__init__(scale=scale)
        self.function, self.arguments = function, arguments

    def on_branch(self, branch: Branch, targets: Tensor) -> Tensor:
        """Return fast-reid's value."""
        return self.function(full_precision(getattr(branch, self.takes)), targets, *self.arguments)


@LOSS_REGISTRY.register()
class CrossEntropyLoss(_FastReidLoss):
    """fast-reid's cross-entropy (`MODEL.LOSSES.CE`)."""

    label, node, takes = "cls", "CE", "logits"

    @classmethod
    def from_config(cls, cfg: CfgNode) -> "CrossEntropyLoss":
        """Build from `MODEL.LOSSES.CE`."""
        node = cfg.MODEL.LOSSES.CE
        return cls(cross_entropy_loss, [node.EPSILON, node.ALPHA], node.SCALE)


@LOSS_REGISTRY.register()
class TripletLoss(_FastReidLoss):
    """fast-reid's triplet loss (`MODEL.LOSSES.TRI`)."""

    label, node, takes = "tri", "TRI", "pooled"

    @classmethod
    def from_config(cls, cfg: CfgNode) -> "TripletLoss":
        """Build from `MODEL.LOSSES.TRI`."""
        node = cfg.MODEL.LOSSES.TRI
        return cls(triplet_loss, [node.MARGIN, node.NORM_FEAT, node.HARD_MINING], node.SCALE)


@LOSS_REGISTRY.register()
class CircleLoss(_FastReidLoss):
    """fast-reid's circle loss (`MODEL.LOSSES.CIRCLE`)."""

    label, node, takes = "circle", "CIRCLE", "pooled"

    @classmethod
    def from_config(cls, cfg: CfgNode) -> "CircleLoss":
        """Build from `MODEL.LOSSES.CIRCLE`."""
        node = cfg.MODEL.LOSSES.CIRCLE
        return cls(pairwise_circleloss, [node.MARGIN, node.GAMMA], node.SCALE)


@LOSS_REGISTRY.register()
class Cosface(_FastReidLoss):
    """fast-reid's pairwise cosine loss (`MODEL.LOSSES.COSFACE`)."""

    label, node, takes = "cosface", "COSFACE", "pooled"

    @classmethod
    def from_config(cls, cfg: CfgNode) -> "Cosface":
        """Build from `MODEL.LOSSES.COSFACE`."""
        node = cfg.MODEL.LOSSES.COSFACE
        return cls(pairwise_cosface, [node.MARGIN, node.GAMMA], node.SCALE)
