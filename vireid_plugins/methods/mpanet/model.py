"""MPANet, modality and pattern alignment network (Wu et al., "Discover Cross-Modality Nuances", CVPR 2021).

    one stream: .. stage3 -> MAM -> stage4 -> MAM -> F -> pattern maps -> f (7 C) -> BNNeck -> z

The test feature is z. MAMs come from `MODEL.ATTENTION`. For what is stated, released and guessed, see
docs/methods/mpanet.md.
"""

from typing import Any

from fastreid.config import CfgNode
from fastreid.modeling.meta_arch.build import META_ARCH_REGISTRY
from torch import nn

from vireid_plugins.config.keys import arguments
from vireid_plugins.methods.mpanet.config import MPANetOptions
from vireid_plugins.methods.mpanet.modules import PatternMaps
from vireid_plugins.modeling.part_baseline import PartBaseline


@META_ARCH_REGISTRY.register()
class MPANet(PartBaseline):
    """Parts by pattern maps, one BNNeck for both modalities, and mutual teaching."""

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Return the constructor's arguments."""
        options = MPANetOptions(**arguments(cfg.MODEL.MPANET))
        parts = super().from_config(cfg)
        channels = parts["backbone"].channels["stage4"]
        masks = PatternMaps(channels, options.parts) if options.parts else None
        return {**parts, "masks": masks, "update_rate": options.update_rate}

    @classmethod
    def build_heads(cls, cfg: CfgNode, channels: dict[str, int]) -> nn.ModuleDict:
        """Build the heads on f."""
        options = MPANetOptions(**arguments(cfg.MODEL.MPANET))
        return cls.part_heads(cfg, channels["stage4"], options)
