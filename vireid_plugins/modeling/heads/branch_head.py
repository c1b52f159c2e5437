"""fast-reid's `EmbeddingHead`, giving the losses everything it computes."""

from typing import Any

import torch.nn.functional as F
from fastreid.config import CfgNode, configurable
from fastreid.layers import any_softmax, pooling
from fastreid.modeling.heads.build import REID_HEADS_REGISTRY
from fastreid.modeling.heads.embedding_head import EmbeddingHead
from torch import Tensor, nn

from vireid_plugins.config.check import require_name
from vireid_plugins.modeling.bundle import Branch
from vireid_plugins.modeling.heads.pooling import POOLINGS


@REID_HEADS_REGISTRY.register()
class BranchHead(EmbeddingHead):
    """Pooling, neck and classifier of fast-reid's `EmbeddingHead`, built from the same keys of `MODEL.HEADS`.

    In training it returns a `Branch` with the feature before and the feature after the neck, where fast-reid's returns
    one of the two; in evaluation the feature after the neck. `MODEL.HEADS.POOL_LAYER` also takes the names in
    `POOLINGS`.
    """

    @configurable
    def __init__(self, *, pool_type: str, **arguments: Any) -> None:
        own = POOLINGS.get(pool_type)
        super().__init__(pool_type="Identity" if own else pool_type, **arguments)
        if own:
            self.pool_layer = own()

    def forward(self, features: Tensor, targets: Tensor | None = None) -> Branch | Tensor:
        """Embed a map (B, C, H, W); `targets` (B,) are needed in training by classifiers with a margin."""
        pooled = self.pool_layer(features)
        neck: Tensor = self.bottleneck(pooled)[..., 0, 0]
        if not self.training:
            return neck
        if type(self.cls_layer).__name__ == "Linear":
            logits = F.linear(neck, self.weight)
        else:
            logits = F.linear(F.normalize(neck), F.normalize(self.weight))
        # The classifiers of fast-reid write into their input.
        return Branch(pooled=pooled[..., 0, 0], neck=neck, logits=self.cls_layer(logits.clone(), targets))


def build_head(cfg: CfgNode, channels: int) -> nn.Module:
    """Build `MODEL.HEADS.NAME` on a map of `channels` channels.

    Raises:
        ConfigError: a pooling, a classifier or a place of the neck does not exist.
    """
    node = cfg.MODEL.HEADS
    own = POOLINGS if issubclass(REID_HEADS_REGISTRY.get(node.NAME), BranchHead) else ()
    require_name("MODEL.HEADS.POOL_LAYER", node.POOL_LAYER, [*pooling.__all__, *own])
    require_name("MODEL.HEADS.CLS_LAYER", node.CLS_LAYER, any_softmax.__all__)
    require_name("MODEL.HEADS.NECK_FEAT", node.NECK_FEAT, ("before", "after"))
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.BACKBONE.FEAT_DIM = channels
    head: nn.Module = REID_HEADS_REGISTRY.get(cfg.MODEL.HEADS.NAME)(cfg)
    return head


def as_branch(output: Any) -> Branch:
    """Return a head's training output as a `Branch`.

    fast-reid's own heads return a dict with one feature; it stands for both the pooled and the neck feature, and
    `MODEL.HEADS.NECK_FEAT` says which it is.
    """
    if isinstance(output, Branch):
        return output
    return Branch(pooled=output["features"], neck=output["features"], logits=output["cls_outputs"])
