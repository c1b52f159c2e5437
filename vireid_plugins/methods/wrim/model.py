"""WRIM-Net (ECCV 2024, arXiv 2408.10624), re-implemented from its figures and a third party's module tree.

`MODEL.ATTENTION` plugs the four MIIMs into the backbone; this file adds the branches:

    stage3 -> Q_g (auxiliary);  stage4 -> R_g, R_1 .. R_N;  R_g before the BNNeck (or after it) -> MLP -> Z

    L = L_cls(R) + lambda1 L_CMKIC(Z) + lambda2 (L_cls(Q) + L_tri(Q_g))        (figure 2)

For the network, its losses, and what is stated, second-hand or our choice, see docs/methods/wrim.md.
"""

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from fastreid.config import CfgNode, configurable
from fastreid.modeling.meta_arch.build import META_ARCH_REGISTRY
from torch import Tensor, nn

from vireid_plugins.config.keys import arguments
from vireid_plugins.methods.wrim.config import WRIMOptions
from vireid_plugins.modeling.baseline import CrossModalityBaseline
from vireid_plugins.modeling.heads import build_head
from vireid_plugins.modeling.heads.branch_head import as_branch
from vireid_plugins.modeling.loss_inputs import LossInputs


@META_ARCH_REGISTRY.register()
class WRIMNet(CrossModalityBaseline):
    """WRIM-Net's auxiliary and main branches on the feature maps after MIIM3 (P4) and MIIM4 (P5).

    The branches are called `R_g`, `R_1` ... and `Q_g` as in the paper. The test feature is the L2-normalized
    concatenation of the BNNeck features of all R. The auxiliary branch does not run at test; with `TEST_AUX` it does,
    and Q_g is part of the test feature.

    Args:
        options: `MODEL.WRIM`.
        parts: arguments of `CrossModalityBaseline`.
    """

    train_maps: ClassVar[tuple[str, ...]] = ("stage3", "stage4")
    needs_maps: ClassVar[bool] = True

    @configurable
    def __init__(self, *, options: WRIMOptions, **parts: Any) -> None:
        super().__init__(**parts)
        self.options = options

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"options": WRIMOptions(**arguments(cfg.MODEL.WRIM)), **super().from_config(cfg)}

    @classmethod
    def build_heads(cls, cfg: CfgNode, channels: dict[str, int]) -> nn.ModuleDict:
        """Build one head per branch."""
        options = WRIMOptions(**arguments(cfg.MODEL.WRIM))
        names = {"R_g": "stage4"} | {f"R_{n}": "stage4" for n in range(1, options.parts + 1)}
        if options.aux_weight:
            names["Q_g"] = "stage3"
        return nn.ModuleDict({name: build_head(cfg, channels[map_]) for name, map_ in names.items()})

    def extract(self, images: Tensor, modalities: Tensor | None, views: Tensor | None) -> dict[str, Tensor]:
        """Return the feature maps of the branches that run."""
        names = self.train_maps if self.training or self.options.test_aux else self.test_maps
        maps: dict[str, Tensor] = self.backbone(images, modalities, views, names)
        return maps

    def loss_inputs(
        self, maps: dict[str, Tensor], targets: Tensor, modalities: Tensor, views: Tensor
    ) -> list[LossInputs]:
        """Return the main branches and Z with weight 1, and the auxiliary branch with weight lambda2."""
        main = {name: as_branch(self.heads[name](part, targets)) for name, part in self._parts(maps["stage4"]).items()}
        projection = self.project(getattr(main["R_g"], self.options.projection_from))
        inputs = [LossInputs(main, targets, modalities, views, projection)]
        if self.options.aux_weight:
            auxiliary = {"Q_g": as_branch(self.heads["Q_g"](maps["stage3"], targets))}
            rows = (targets, modalities, views)
            inputs.append(LossInputs(auxiliary, *rows, name="aux", weight=self.options.aux_weight))
        return inputs

    def embed(self, maps: dict[str, Tensor], modalities: Tensor | None) -> Tensor:
        """Return the L2-normalized concatenation of the BNNeck features of all R, and of Q_g with `TEST_AUX`."""
        parts = self._parts(maps["stage4"])
        if self.options.test_aux:
            parts["Q_g"] = maps["stage3"]
        features = [self.test_feature.of(self.heads[name], part) for name, part in parts.items()]
        return F.normalize(torch.cat(features, dim=1))

    def _parts(self, map_: Tensor) -> dict[str, Tensor]:
        """Return the last feature map and its horizontal parts by branch name."""
        stripes = map_.tensor_split(self.options.parts, dim=2) if self.options.parts else ()
        return {"R_g": map_} | {f"R_{n}": stripe for n, stripe in enumerate(stripes, start=1)}
