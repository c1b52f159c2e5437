"""fast-reid's `EmbeddingHead`, returning everything the losses need."""

import math
from typing import Any

import torch.nn.functional as F
from fastreid.config import CfgNode, configurable
from fastreid.layers import any_softmax, pooling
from fastreid.modeling.heads.build import REID_HEADS_REGISTRY
from fastreid.modeling.heads.embedding_head import EmbeddingHead
from torch import Tensor, nn

from vireid_plugins.errors import ConfigError, require_name
from vireid_plugins.layers.precision import cosines
from vireid_plugins.modeling.heads.pooling import POOLINGS
from vireid_plugins.modeling.loss_inputs import Branch


@REID_HEADS_REGISTRY.register()
class BranchHead(EmbeddingHead):
    """Pooling, BNNeck and classifier of fast-reid's `EmbeddingHead`, built from the same keys of `MODEL.HEADS`.

    In training it returns a `Branch` with the pooled and the BNNeck feature (fast-reid's head returns only one of
    them), in evaluation the BNNeck feature. `MODEL.HEADS.POOL_LAYER` also accepts the names in `POOLINGS`.
    """

    @configurable
    def __init__(self, *, pool_type: str, **arguments: Any) -> None:
        pooling_class = POOLINGS.get(pool_type)
        super().__init__(pool_type="Identity" if pooling_class else pool_type, **arguments)
        if pooling_class:
            self.pool_layer = pooling_class()

    def forward(self, features: Tensor, targets: Tensor | None = None) -> Branch | Tensor:
        """Embed a feature map (B, C, H, W); in training, classifiers with a margin need `targets` (B,)."""
        pooled, neck = self.pooled_and_neck(features)
        if not self.training:
            return neck
        if type(self.cls_layer).__name__ == "Linear":
            logits = F.linear(neck, self.weight)
            # Without a margin the classifier only multiplies by its scale.
            logits = logits if self.cls_layer.s == 1 else self.cls_layer(logits, targets)
        else:
            # fast-reid's classifiers modify their input in place.
            logits = self.cls_layer(cosines(neck, self.weight).clone(), targets)
        return Branch(pooled=pooled, neck=neck, logits=logits)

    def pooled_and_neck(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return the pooled and the BNNeck feature (B, D) of a feature map (B, C, H, W).

        Raises:
            ConfigError: the pooling leaves more than one position.
        """
        pooled = self.pool_layer(features)
        if math.prod(pooled.shape[2:]) != 1:
            raise ConfigError(
                f"MODEL.HEADS.POOL_LAYER: {type(self.pool_layer).__name__} leaves maps of "
                f"{' x '.join(map(str, pooled.shape[2:]))} positions, and a head takes a vector; set it to a pooling "
                "such as GlobalAvgPool. Identity is for backbones that return a vector, as a ViT with its class token"
            )
        return pooled.flatten(1), self.bottleneck(pooled).flatten(1)


def build_head(cfg: CfgNode, channels: int) -> nn.Module:
    """Build `MODEL.HEADS.NAME` for feature maps with `channels` channels.

    Raises:
        ConfigError: the name of a pooling, a classifier or a feature is unknown, or a standard deviation is negative.
    """
    node = cfg.MODEL.HEADS
    own_poolings = POOLINGS if issubclass(REID_HEADS_REGISTRY.get(node.NAME), BranchHead) else ()
    require_name("MODEL.HEADS.POOL_LAYER", node.POOL_LAYER, [*pooling.__all__, *own_poolings])
    require_name("MODEL.HEADS.CLS_LAYER", node.CLS_LAYER, any_softmax.__all__)
    require_name("MODEL.HEADS.NECK_FEAT", node.NECK_FEAT, ("before", "after"))
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.BACKBONE.FEAT_DIM = channels
    head: nn.Module = REID_HEADS_REGISTRY.get(cfg.MODEL.HEADS.NAME)(cfg)
    _initialize(head, node.CLASSIFIER_STD, node.NECK_STD)
    return head


def _initialize(head: nn.Module, classifier_std: float, neck_std: float) -> None:
    """Initialize the weights of a head's classifier and BNNeck, if it has them."""
    for key, std in (("CLASSIFIER_STD", classifier_std), ("NECK_STD", neck_std)):
        if std < 0:
            raise ConfigError(f"MODEL.HEADS.{key}: must be 0 or more, got {std}")
    classifier = getattr(head, "weight", None)
    if isinstance(classifier, nn.Parameter):
        if classifier_std:
            nn.init.normal_(classifier, std=classifier_std)
        else:
            # As in `nn.Linear`.
            nn.init.kaiming_uniform_(classifier, a=math.sqrt(5))
    for module in head.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.affine and neck_std:
            nn.init.normal_(module.weight, 1.0, neck_std)


def as_branch(output: Any) -> Branch:
    """Return a head's training output as a `Branch`.

    fast-reid's own heads return a dict with a single feature, chosen by `MODEL.HEADS.NECK_FEAT`. It is used as both the
    pooled and the BNNeck feature.
    """
    if isinstance(output, Branch):
        return output
    return Branch(pooled=output["features"], neck=output["features"], logits=output["cls_outputs"])
