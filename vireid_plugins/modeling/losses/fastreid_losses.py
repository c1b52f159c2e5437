"""fast-reid's own four losses under their own names and keys, chosen by `MODEL.LOSSES.NAME` like all others."""

from collections.abc import Callable
from typing import ClassVar

from fastreid.config import CfgNode
from fastreid.modeling.losses import cross_entropy_loss, pairwise_circleloss, pairwise_cosface, triplet_loss
from torch import Tensor

from vireid_plugins.layers.precision import full_precision
from vireid_plugins.modeling.loss_inputs import Branch, LossInputs
from vireid_plugins.modeling.losses.base import LOSS_REGISTRY, BranchLoss


class FastReidLoss(BranchLoss):
    """A loss function of fast-reid on every branch, with the arguments that fast-reid's `Baseline` passes.

    Its node and keys have fast-reid's names.

    Args:
        arguments: arguments of the function after features or logits and targets.
        scale: weight of the loss.
    """

    fastreid_node: ClassVar[str]
    function: ClassVar[Callable[..., Tensor]]
    # The tensor of a `Branch` that the function takes, and the keys of its other arguments.
    takes: ClassVar[str]
    keys: ClassVar[tuple[str, ...]]

    def __init__(self, arguments: list[float], scale: float) -> None:
        super().__init__(scale=scale)
        self.arguments = arguments

    @classmethod
    def from_config(cls, cfg: CfgNode) -> "FastReidLoss":
        """Build from fast-reid's node."""
        node = cfg.MODEL.LOSSES[cls.node()]
        return cls([node[key] for key in cls.keys], node.SCALE)

    @classmethod
    def node(cls) -> str:
        """Return fast-reid's name for the node."""
        return cls.fastreid_node

    def on_branch(self, branch: Branch, inputs: LossInputs) -> Tensor:
        """Return fast-reid's value."""
        return type(self).function(full_precision(getattr(branch, self.takes)), inputs.targets, *self.arguments)


@LOSS_REGISTRY.register()
class CrossEntropyLoss(FastReidLoss):
    """fast-reid's cross-entropy (`MODEL.LOSSES.CE`)."""

    fastreid_node, takes, keys = "CE", "logits", ("EPSILON", "ALPHA")
    function = staticmethod(cross_entropy_loss)


@LOSS_REGISTRY.register()
class TripletLoss(FastReidLoss):
    """fast-reid's triplet loss (`MODEL.LOSSES.TRI`)."""

    fastreid_node, takes, keys = "TRI", "pooled", ("MARGIN", "NORM_FEAT", "HARD_MINING")
    function = staticmethod(triplet_loss)


@LOSS_REGISTRY.register()
class CircleLoss(FastReidLoss):
    """fast-reid's circle loss (`MODEL.LOSSES.CIRCLE`)."""

    fastreid_node, takes, keys = "CIRCLE", "pooled", ("MARGIN", "GAMMA")
    function = staticmethod(pairwise_circleloss)


@LOSS_REGISTRY.register()
class Cosface(FastReidLoss):
    """fast-reid's pairwise cosine loss (`MODEL.LOSSES.COSFACE`)."""

    fastreid_node, takes, keys = "COSFACE", "pooled", ("MARGIN", "GAMMA")
    function = staticmethod(pairwise_cosface)
