"""fast-reid's own four losses under their own names and keys, chosen by `MODEL.LOSSES.NAME` like all others."""

from collections.abc import Callable
from typing import ClassVar

import torch.nn.functional as F
from fastreid.config import CfgNode
from fastreid.modeling.losses import cross_entropy_loss, pairwise_circleloss, pairwise_cosface, triplet_loss
from torch import Tensor

from vireid_plugins.layers.precision import full_precision
from vireid_plugins.modeling.loss_inputs import Branch, LossInputs
from vireid_plugins.modeling.losses.base import LOSS_REGISTRY, BranchLoss
from vireid_plugins.modeling.losses.weighted_triplet import weighted_difference


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


def soft_or_hard_triplet(
    features: Tensor, targets: Tensor, margin: float, norm_feat: bool, hard_mining: bool
) -> Tensor:
    """Return fast-reid's triplet loss, whose soft mining of features that are not normalized is computed exactly.

    fast-reid's weights of negatives are exp(-d) / (sum exp(-d) + 1e-6), which vanish at distances above about 14: the
    loss of well separated features is then large, and a step pulls negatives in.

    Args:
        features: (B, D).
        targets: (B,).
        margin: margin; 0 or less: the softplus of the difference.
        norm_feat: distances are those of normalized features.
        hard_mining: the farthest positive and the nearest negative, instead of means weighted by distance.
    """
    if norm_feat or hard_mining:
        loss: Tensor = triplet_loss(features, targets, margin, norm_feat, hard_mining)
        return loss
    difference, counted = weighted_difference(features, targets)
    terms = (difference + margin).clamp_min(0) if margin > 0 else F.softplus(difference)
    return (terms * counted).sum() / counted.sum().clamp_min(1)


@LOSS_REGISTRY.register()
class TripletLoss(FastReidLoss):
    """fast-reid's triplet loss (`MODEL.LOSSES.TRI`); see `soft_or_hard_triplet`."""

    fastreid_node, takes, keys = "TRI", "pooled", ("MARGIN", "NORM_FEAT", "HARD_MINING")
    function = staticmethod(soft_or_hard_triplet)


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
