"""MSCMNet, multi-scale semantic correlation mining (Pattern Recognition 2025, arXiv 2311.14395).

    four stems [V1, V2, I1, I2] -> stage1 -> stage2 -> stage3 -> ALB0 .. ALB3 (stem, stage1, stage2, itself) -> stage4

Stems and non-local blocks come from `MODEL.STREAMS` and `MODEL.ATTENTION`; this file adds the MIMB between stage 3 and
stage 4. For what is stated, released and guessed, see docs/methods/mscm.md.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

from fastreid.config import CfgNode, configurable
from fastreid.modeling.meta_arch.build import META_ARCH_REGISTRY
from torch import Tensor, nn

from vireid_plugins.config.keys import arguments
from vireid_plugins.errors import ConfigError
from vireid_plugins.methods.mscm.config import SCALES, MSCMOptions
from vireid_plugins.methods.mscm.modules import ALB
from vireid_plugins.modeling.baseline import CrossModalityBaseline


@META_ARCH_REGISTRY.register()
class MSCMNet(CrossModalityBaseline):
    """The baseline with information adoptive lossless blocks between stage 3 and stage 4.

    Args:
        blocks: the ALBs in order.
        related: for each block the feature map to which it relates the deep one; `stage3` is the deep one itself.
        parts: arguments of `CrossModalityBaseline`.
    """

    train_maps: ClassVar[tuple[str, ...]] = ("stem", "stage1", "stage2", "stage3")
    test_maps: ClassVar[tuple[str, ...]] = train_maps

    @configurable
    def __init__(self, *, blocks: Sequence[ALB], related: Sequence[str], **parts: Any) -> None:
        super().__init__(**parts)
        self.blocks, self.related = nn.ModuleList(blocks), list(related)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Return the constructor's arguments."""
        options = MSCMOptions(**arguments(cfg.MODEL.MSCM))
        if options.relate and list(cfg.INPUT.SIZE_TRAIN) != list(cfg.INPUT.SIZE_TEST):
            raise ConfigError(
                f"INPUT.SIZE_TEST: must equal INPUT.SIZE_TRAIN {list(cfg.INPUT.SIZE_TRAIN)} for MSCMNet, whose token "
                f"length is the number of positions in a feature map; got {list(cfg.INPUT.SIZE_TEST)}"
            )
        parts = super().from_config(cfg)
        if parts["backbone"].grid is not None:
            raise ConfigError(
                "MODEL.STREAMS.BACKBONE: MSCMNet relates feature maps of different sizes, and "
                f"{cfg.MODEL.STREAMS.BACKBONE} has one size; use a convolutional network"
            )
        channels = parts["backbone"].channels
        size = parts["backbone"].sizes["stage3"]
        blocks = []
        for name in options.relate:
            shallow = channels[name] if SCALES[name] else 0
            settings = (options.tokens, options.head_dim, options.residual)
            blocks.append(ALB(channels["stage3"], shallow, SCALES[name], size, *settings))
        return {**parts, "blocks": blocks, "related": options.relate}

    def extract(self, images: Tensor, modalities: Tensor | None, views: Tensor | None) -> dict[str, Tensor]:
        """Return the feature map of stage 4, computed from the output of the blocks."""
        maps = self.backbone(images, modalities, views, self.train_maps)
        deep = maps["stage3"]
        for block, name in zip(self.blocks, self.related, strict=True):
            deep = block(deep, [maps[name]])
        return {"stage4": self.backbone.stages["stage4"](deep, modalities, views)}
