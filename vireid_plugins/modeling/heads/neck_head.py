"""A head without a classifier, for methods that train without labels."""

from typing import Any

from fastreid.config import configurable
from fastreid.modeling.heads.build import REID_HEADS_REGISTRY
from torch import Tensor

from vireid_plugins.modeling.heads.branch_head import BranchHead
from vireid_plugins.modeling.loss_inputs import Branch


@REID_HEADS_REGISTRY.register()
class NeckHead(BranchHead):
    """Pooling and BNNeck of `BranchHead`, from the same keys of `MODEL.HEADS`; those of the classifier are not read."""

    @configurable
    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        # fast-reid's head has always one. It would never get a gradient, which several processes wait for.
        del self.weight, self.cls_layer

    def forward(self, features: Tensor, targets: Tensor | None = None) -> Branch | Tensor:
        """Embed a feature map (B, C, H, W); in training, the branch has logits of no class, (B, 0)."""
        pooled, neck = self.pooled_and_neck(features)
        return Branch(pooled=pooled, neck=neck, logits=neck[:, :0]) if self.training else neck
