"""Horizontal stripes of the last feature map, one head each (PCB, Sun et al., ECCV 2018, without refined pooling)."""

import torch
from fastreid.config import CfgNode
from fastreid.modeling.meta_arch.build import META_ARCH_REGISTRY
from torch import Tensor, nn

from vireid_plugins.config.keys import Key, declare_table
from vireid_plugins.errors import ConfigError
from vireid_plugins.modeling.baseline import CrossModalityBaseline
from vireid_plugins.modeling.heads import build_head
from vireid_plugins.modeling.heads.branch_head import as_branch
from vireid_plugins.modeling.loss_inputs import Branch, LossInputs

declare_table(Key("MODEL.STRIPES.COUNT", 6, "Number of horizontal stripes, each with its own head."))


@META_ARCH_REGISTRY.register()
class Stripes(CrossModalityBaseline):
    """The baseline with `MODEL.STRIPES.COUNT` heads; the test feature concatenates the stripes' BNNeck features."""

    @classmethod
    def build_heads(cls, cfg: CfgNode, channels: dict[str, int]) -> nn.ModuleDict:
        """Build one head per stripe."""
        names = [f"stripe{number}" for number in range(cfg.MODEL.STRIPES.COUNT)]
        return nn.ModuleDict({name: build_head(cfg, channels["stage4"]) for name in names})

    def loss_inputs(
        self, maps: dict[str, Tensor], targets: Tensor, modalities: Tensor, views: Tensor
    ) -> list[LossInputs]:
        """Return one branch per stripe."""
        branches: dict[str, Branch] = {
            name: as_branch(self.heads[name](stripe, targets)) for name, stripe in self._stripes(maps["stage4"]).items()
        }
        return [LossInputs(branches, targets, modalities, views)]

    def embed(self, maps: dict[str, Tensor], modalities: Tensor | None) -> Tensor:
        """Return the test feature (B, COUNT * D)."""
        return torch.cat([self.heads[name](stripe) for name, stripe in self._stripes(maps["stage4"]).items()], dim=1)

    def _stripes(self, x: Tensor) -> dict[str, Tensor]:
        if x.shape[2] < len(self.heads):
            # The mean of an empty stripe would be NaN.
            raise ConfigError(
                f"MODEL.STRIPES.COUNT: the last feature map has {x.shape[2]} rows, too few for {len(self.heads)} "
                "stripes; lower it or raise INPUT.SIZE_TRAIN"
            )
        return dict(zip(self.heads, x.tensor_split(len(self.heads), dim=2), strict=True))
