"""SAAI, semantic alignment and affinity inference (Fang et al., ICCV 2023; behavior of the repository xiaoye-hhh/SAAI).

    one stream: .. stage3 -> MAM -> stage4 -> MAM -> F -> SAFL -> f (8 C) -> BNNeck (V | I) -> z

The test feature is z, for which the modality of each image must be known. MAMs come from `MODEL.ATTENTION`; affinity
inference at test is `TEST.AIM`, for every method. For what is stated, released and guessed, see docs/methods/saai.md.
"""

from typing import Any

from fastreid.config import CfgNode
from fastreid.modeling.meta_arch.build import META_ARCH_REGISTRY
from torch import Tensor, nn

from vireid_plugins.config.keys import arguments
from vireid_plugins.layers.streams import PerModality
from vireid_plugins.methods.saai.config import SAAIOptions
from vireid_plugins.methods.saai.modules import SAFL, Neck
from vireid_plugins.modeling.heads.branch_head import as_branch
from vireid_plugins.modeling.loss_inputs import Branch
from vireid_plugins.modeling.part_baseline import PartBaseline


@META_ARCH_REGISTRY.register()
class SAAI(PartBaseline):
    """Parts by prototypes, a BNNeck for each modality, and mutual teaching."""

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Return the constructor's arguments."""
        options = SAAIOptions(**arguments(cfg.MODEL.SAAI))
        parts = super().from_config(cfg)
        backbone = parts["backbone"]
        masks = SAFL(backbone.channels["stage4"], options.parts, backbone.sizes["stage4"]) if options.parts else None
        return {**parts, "masks": masks, "update_rate": options.update_rate}

    @classmethod
    def build_heads(cls, cfg: CfgNode, channels: dict[str, int]) -> nn.ModuleDict:
        """Build the heads on f, with the BNNeck apart from the classifier."""
        options = SAAIOptions(**arguments(cfg.MODEL.SAAI))
        heads = cls.part_heads(cfg, channels["stage4"], options)
        head: Any = heads["global"]
        heads["necks"] = PerModality(Neck(*head.bottleneck))
        head.bottleneck = nn.Sequential()
        return heads

    def branch(self, f: Tensor, targets: Tensor, modalities: Tensor) -> Branch:
        """Return the branch of f (B, D), whose BNNeck is that of each row's modality."""
        z = self.heads["necks"](f[..., None, None], modalities)
        classified = as_branch(self.heads["global"](z, targets))
        return Branch(pooled=f, neck=z.flatten(1), logits=classified.logits)

    def embed(self, maps: dict[str, Tensor], modalities: Tensor | None) -> Tensor:
        """Return the test feature (B, D)."""
        f, _ = self.pooled(maps["stage4"])
        z = self.heads["necks"](f[..., None, None], modalities)
        return self.test_feature.joined(f, z.flatten(1))
