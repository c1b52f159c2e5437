"""WRIM-Net (ECCV 2024, arXiv 2408.10624), re-implemented from its figures and a third party's module tree.

The network, its losses and what of them is stated, second-hand or our choice: docs/methods/wrim.md. The four MIIMs are
plugged into the backbone by `MODEL.ATTENTION`; this file is the branches:

    stage3 -> Q_g (auxiliary);  stage4 -> R_g, R_1 .. R_N;  R_g before the neck (or after it) -> MLP -> Z

    L = L_cls(R) + lambda1 L_CMKIC(Z) + lambda2 (L_cls(Q) + L_tri(Q_g))        (figure 2)
"""

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from fastreid.config import CfgNode, configurable
from fastreid.modeling.meta_arch.build import META_ARCH_REGISTRY
from torch import Tensor, nn

from vireid_plugins.errors import ConfigError, require_name
from vireid_plugins.modeling.baseline import CrossModalityBaseline
from vireid_plugins.modeling.heads import build_head
from vireid_plugins.modeling.heads.branch_head import as_branch
from vireid_plugins.modeling.loss_inputs import Branch, LossInputs


@META_ARCH_REGISTRY.register()
class WRIMNet(CrossModalityBaseline):
    """WRIM-Net's main and auxiliary branches on the maps after MIIM3 (P4) and MIIM4 (P5).

    The branches are called `R_g`, `R_1` ..., `Q_g`, `Q_1` ... as in the paper. The test feature is the L2-normalised
    concatenation of the neck features of all R, and the auxiliary branch is not run, or of all R and Q.

    Args:
        aux_weight: lambda2.
        projection_from: what of R_g the MLP of Z takes, `pooled` (before the neck) or `neck` (after it).
        test_aux: the test feature includes the auxiliary branch.
        parts: see `CrossModalityBaseline` for the other arguments.
    """

    train_maps: ClassVar[tuple[str, ...]] = ("stage3", "stage4")

    @configurable
    def __init__(
        self, *, aux_weight: float, projection_from: str = "pooled", test_aux: bool = False, **parts: Any
    ) -> None:
        super().__init__(**parts)
        self.aux_weight, self.projection_from, self.test_aux = aux_weight, projection_from, test_aux

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Return the constructor's arguments.

        Raises:
            ConfigError: the MLP is to take what does not exist, or the test feature a branch that is left out.
        """
        node = cfg.MODEL.WRIM
        require_name("MODEL.WRIM.PROJECTION_FROM", node.PROJECTION_FROM, ("pooled", "neck"))
        if node.TEST_AUX and not node.AUX_WEIGHT:
            raise ConfigError(
                "MODEL.WRIM.TEST_AUX: True needs the auxiliary branch, which MODEL.WRIM.AUX_WEIGHT 0 leaves out; set "
                "one of them"
            )
        chosen = {"aux_weight": node.AUX_WEIGHT, "projection_from": node.PROJECTION_FROM, "test_aux": node.TEST_AUX}
        return {**super().from_config(cfg), **chosen}

    @classmethod
    def build_heads(cls, cfg: CfgNode, channels: dict[str, int]) -> nn.ModuleDict:
        """Build one head a branch."""
        node = cfg.MODEL.WRIM
        names = {"R_g": "stage4"} | {f"R_{n}": "stage4" for n in range(1, node.PARTS + 1)}
        if node.AUX_WEIGHT:
            names |= {"Q_g": "stage3"} | {f"Q_{n}": "stage3" for n in range(1, node.AUX_PARTS + 1)}
        return nn.ModuleDict({name: build_head(cfg, channels[map_]) for name, map_ in names.items()})

    def extract(self, images: Tensor, modalities: Tensor | None, views: Tensor | None) -> dict[str, Tensor]:
        """Return the maps of the branches that are run."""
        names = self.train_maps if self.training or self.test_aux else self.test_maps
        maps: dict[str, Tensor] = self.backbone(images, modalities, views, names)
        return maps

    def loss_inputs(
        self, maps: dict[str, Tensor], targets: Tensor, modalities: Tensor, views: Tensor
    ) -> list[LossInputs]:
        """Return the main branches and Z with weight 1, and the auxiliary branches with weight lambda2."""
        main = self._branches("R", maps["stage4"], targets)
        projection = self.project(getattr(main["R_g"], self.projection_from))
        inputs = [LossInputs(main, targets, modalities, views, projection)]
        if self.aux_weight:
            auxiliary = self._branches("Q", maps["stage3"], targets)
            rows = (targets, modalities, views)
            inputs.append(LossInputs(auxiliary, *rows, name="aux", weight=self.aux_weight))
        return inputs

    def embed(self, maps: dict[str, Tensor], modalities: Tensor | None) -> Tensor:
        """Return the L2-normalised concatenation of the neck features of all R, and of all Q with `test_aux`."""
        parts = self._parts("R", maps["stage4"])
        if self.test_aux:
            parts |= self._parts("Q", maps["stage3"])
        necks = [self.test_feature.of(self.heads[name], part) for name, part in parts.items()]
        return F.normalize(torch.cat(necks, dim=1))

    def _branches(self, letter: str, map_: Tensor, targets: Tensor) -> dict[str, Branch]:
        return {name: as_branch(self.heads[name](part, targets)) for name, part in self._parts(letter, map_).items()}

    def _parts(self, letter: str, map_: Tensor) -> dict[str, Tensor]:
        """Return the whole map and its horizontal parts by branch name."""
        parts = sum(name.startswith(f"{letter}_") for name in self.heads) - 1
        stripes = map_.tensor_split(parts, dim=2) if parts else ()
        return {f"{letter}_g": map_} | {f"{letter}_{n}": stripe for n, stripe in enumerate(stripes, start=1)}
