"""The part network of RLE, random linear enhancement (NeurIPS 2024; behavior of the repository stone96123/RLE).

    a stem for each modality -> stages -> F -> means of three equal stripes s_1, s_2, s_3 and of the whole, g
    each of the four -> BNNeck -> logits;   L = mean of the losses on the stripes + the losses on g

The test feature is the concatenation [s_1, s_2, s_3, g], normalized as one vector, before and after the BNNecks. RLE
itself is its two transforms (`MRLE`, `RRLE`). For what is stated, released and guessed, see docs/methods/rle.md.

Shapes: `B` images, `C` channels of the last feature map F (B, C, H, W), `n` stripes.
"""

from typing import Any, ClassVar

import torch
from fastreid.config import CfgNode, configurable
from fastreid.modeling.meta_arch.build import META_ARCH_REGISTRY
from torch import Tensor, nn

from vireid_plugins.config.keys import arguments
from vireid_plugins.errors import ConfigError
from vireid_plugins.methods.rle.config import RLEOptions
from vireid_plugins.modeling.baseline import CrossModalityBaseline
from vireid_plugins.modeling.heads import build_head
from vireid_plugins.modeling.heads.branch_head import as_branch
from vireid_plugins.modeling.loss_inputs import LossInputs


@META_ARCH_REGISTRY.register()
class RLE(CrossModalityBaseline):
    """Heads `part_1` .. `part_n` on stripes of the last feature map, and `global` on the whole.

    Args:
        options: `MODEL.RLE`.
        parts: arguments of `CrossModalityBaseline`.
    """

    needs_maps: ClassVar[bool] = True

    @configurable
    def __init__(self, *, options: RLEOptions, **parts: Any) -> None:
        super().__init__(**parts)
        self.options = options
        # Stages after the last one used would be parameters that never learn.
        for number in range(options.last_stage + 1, 5):
            del self.backbone.stages[f"stage{number}"]

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Return the constructor's arguments."""
        options = RLEOptions(**arguments(cfg.MODEL.RLE))
        parts = super().from_config(cfg)
        if cfg.MODEL.HEADS.PROJECTION_DIM and options.last_stage < 4:
            raise ConfigError(
                "MODEL.HEADS.PROJECTION_DIM: needs stage 4, which MODEL.RLE.LAST_STAGE leaves out; set one of them"
            )
        return {**parts, "options": options}

    @classmethod
    def build_heads(cls, cfg: CfgNode, channels: dict[str, int]) -> nn.ModuleDict:
        """Build a head for each stripe and one for the whole."""
        options = RLEOptions(**arguments(cfg.MODEL.RLE))
        names = [*(f"part_{n}" for n in range(1, options.parts + 1)), "global"]
        return nn.ModuleDict({name: build_head(cfg, channels[f"stage{options.last_stage}"]) for name in names})

    def extract(self, images: Tensor, modalities: Tensor | None, views: Tensor | None) -> dict[str, Tensor]:
        """Return the last feature map."""
        name = f"stage{self.options.last_stage}"
        maps: dict[str, Tensor] = self.backbone(images, modalities, views, (name,))
        return {"last": maps[name]}

    def loss_inputs(
        self, maps: dict[str, Tensor], targets: Tensor, modalities: Tensor, views: Tensor
    ) -> list[LossInputs]:
        """Return the whole, and the stripes, over which each loss is averaged."""
        branches = {name: as_branch(self.heads[name](part, targets)) for name, part in self._parts(maps).items()}
        whole = branches.pop("global")
        rows = (targets, modalities, views)
        return [
            LossInputs({"global": whole}, *rows, self.project(whole.pooled)),
            LossInputs(branches, *rows, name="parts"),
        ]

    def embed(self, maps: dict[str, Tensor], modalities: Tensor | None) -> Tensor:
        """Return the test feature of the concatenated pooled features (B, (n + 1) C) and that of the BNNecks'."""
        heads: Any = self.heads
        pairs = [heads[name].pooled_and_neck(part) for name, part in self._parts(maps).items()]
        pooled, neck = (torch.cat(features, dim=1) for features in zip(*pairs, strict=True))
        return self.test_feature.joined(pooled, neck)

    def _parts(self, maps: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the stripes and the whole map by the name of their heads.

        Raises:
            ConfigError: the map has too few rows.
        """
        whole = maps["last"]
        rows, count = whole.shape[2], self.options.parts
        if rows < count:
            raise ConfigError(
                f"MODEL.RLE.PARTS: a feature map of {rows} rows has no {count} stripes; use taller images, or fewer"
            )
        # As released, where the parts do not divide the rows, the first stripes are as large as the largest. That may
        # leave none for the last, as of 4 rows for 3 stripes, where the release fails.
        stripes = whole.chunk(count, dim=2)
        if len(stripes) < count:
            stripes = whole.tensor_split(count, dim=2)
        return {f"part_{n}": stripe for n, stripe in enumerate(stripes, start=1)} | {"global": whole}
