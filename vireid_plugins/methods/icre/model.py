"""A network in the spirit of ICRE (arXiv 2512.04522). Not a reproduction.

The paper's abstract, captions and short summaries are known to us, its equations are not. The module boundaries are the
paper's, so that correcting a formula leaves the structure as it is. For what is stated, second-hand and ours, see
docs/methods/icre.md.

    dual stems -> stage1 .. stage3 = E2, E3, E4 -> stage4 = F_d
    F_id = MPFR(E2, E3, E4);  F_e = SDCE(F_d, F_id) -> head
"""

from typing import Any, ClassVar

from fastreid.config import CfgNode, configurable
from fastreid.modeling.meta_arch.build import META_ARCH_REGISTRY
from torch import Tensor

from vireid_plugins.config.keys import arguments
from vireid_plugins.methods.icre.config import ICREOptions
from vireid_plugins.methods.icre.modules import MPFR, SDCE
from vireid_plugins.modeling.baseline import CrossModalityBaseline


@META_ARCH_REGISTRY.register()
class ICRE(CrossModalityBaseline):
    """The baseline with its head on F_e.

    Args:
        mpfr: aggregates shallow feature maps.
        sdce: guides the deep feature map with the result.
        shallow: names of the feature maps that `mpfr` aggregates, usually shallow ones.
        parts: arguments of `CrossModalityBaseline`.
    """

    needs_maps: ClassVar[bool] = True

    @configurable
    def __init__(self, *, mpfr: MPFR, sdce: SDCE, shallow: tuple[str, ...], **parts: Any) -> None:
        super().__init__(**parts)
        self.mpfr, self.sdce, self.shallow = mpfr, sdce, tuple(shallow)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Return the constructor's arguments."""
        options = ICREOptions(**arguments(cfg.MODEL.ICRE))
        parts = super().from_config(cfg)
        backbone = parts["backbone"]
        channels = [backbone.channels[name] for name in options.stages]
        mpfr = MPFR(channels, options.dim, options.mask_softmax, options.fusion)
        sdce = SDCE(backbone.channels["stage4"], backbone.sizes["stage4"], options.dim, options.heads)
        return {**parts, "mpfr": mpfr, "sdce": sdce, "shallow": tuple(options.stages)}

    def extract(self, images: Tensor, modalities: Tensor | None, views: Tensor | None) -> dict[str, Tensor]:
        """Return F_e in place of the last feature map."""
        maps = self.backbone(images, modalities, views, tuple(dict.fromkeys((*self.shallow, "stage4"))))
        guide = self.mpfr(maps["stage4"], [maps[name] for name in self.shallow])
        return {"stage4": self.sdce(maps["stage4"], [guide])}
