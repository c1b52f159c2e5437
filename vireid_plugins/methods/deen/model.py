"""DEEN, diverse embedding expansion network (Zhang and Wang, CVPR 2023; behavior of the repository ZYK100/LLCM).

    stem -> stage1 -> MFA1 -> stage2 -> MFA2 -> stage3 -> MFA3 -> DEE (3B rows) -> stage4

Each MFA relates its feature map to the refined one before it, the first to that of the stem. On RegDB the expansion
comes after stage 2, and stage 3 is the last. For what is stated, released and guessed, see docs/methods/deen.md.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import torch
from fastreid.config import CfgNode, configurable
from fastreid.modeling.meta_arch.build import META_ARCH_REGISTRY
from torch import Tensor, nn

from vireid_plugins.config.keys import arguments
from vireid_plugins.methods.deen.config import DEENOptions
from vireid_plugins.methods.deen.losses import ExpansionInputs
from vireid_plugins.methods.deen.modules import DEE, MFA
from vireid_plugins.modeling.baseline import CrossModalityBaseline
from vireid_plugins.modeling.heads import build_head
from vireid_plugins.modeling.heads.branch_head import as_branch
from vireid_plugins.modeling.loss_inputs import Branch, LossInputs


@META_ARCH_REGISTRY.register()
class DEEN(CrossModalityBaseline):
    """Multi-stage feature aggregation, embedding expansion, and one head on the three embeddings of an image.

    Args:
        mfa: one per stage before the expansion.
        dee: the expansion.
        parts: arguments of `CrossModalityBaseline`.
    """

    needs_maps: ClassVar[bool] = True

    @configurable
    def __init__(self, *, mfa: Sequence[MFA], dee: DEE, **parts: Any) -> None:
        super().__init__(**parts)
        self.mfa, self.dee = nn.ModuleList(mfa), dee
        # Stages after the last one used would be parameters that never learn.
        for number in range(len(self.mfa) + 2, 5):
            del self.backbone.stages[f"stage{number}"]

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Return the constructor's arguments."""
        options = DEENOptions(**arguments(cfg.MODEL.DEEN))
        parts = super().from_config(cfg)
        channels, sizes = parts["backbone"].channels, parts["backbone"].sizes
        names = ["stem", *(f"stage{n}" for n in range(1, options.expand_after + 1))]
        mfa = [
            MFA(channels[high], channels[low], round(sizes[low][0] / sizes[high][0]), options.pnl_fold)
            for low, high in pairwise(names)
        ]
        return {**parts, "mfa": mfa, "dee": DEE(channels[names[-1]], options.dropout)}

    @classmethod
    def build_heads(cls, cfg: CfgNode, channels: dict[str, int]) -> nn.ModuleDict:
        """Build the head on the stage after the expansion."""
        options = DEENOptions(**arguments(cfg.MODEL.DEEN))
        return nn.ModuleDict({"global": build_head(cfg, channels[f"stage{options.expand_after + 1}"])})

    def extract(self, images: Tensor, modalities: Tensor | None, views: Tensor | None) -> dict[str, Tensor]:
        """Return the last feature map, 3B rows: originals, first branch, second branch."""
        x = refined = self.backbone.stem(images, modalities, views)
        stages = list(self.backbone.stages.values())
        for stage, mfa in zip(stages[:-1], self.mfa, strict=True):
            x = stage(x, modalities, views)
            refined = mfa(self.backbone.to_map(x), [refined])
            x = self.backbone.with_map(x, refined)
        columns = [None if column is None else column.repeat(3) for column in (modalities, views)]
        expanded = stages[-1](self.backbone.with_map(x, self.dee(refined)), *columns)
        return {"expanded": self.backbone.to_map(expanded)}

    def loss_inputs(
        self, maps: dict[str, Tensor], targets: Tensor, modalities: Tensor, views: Tensor
    ) -> list[LossInputs]:
        """Return one branch of 3B rows in block order, and the inputs of the expansion losses."""
        repeated = targets.repeat(3)
        branch = as_branch(self.heads["global"](maps["expanded"], repeated))
        # Block order: visible images first, the three embeddings as views of an image; the columns are on the host.
        columns = modalities.numpy(), views.numpy()
        modality, view = (np.tile(column, 3) for column in columns)
        order = np.argsort(modality, kind="stable")
        numbered = 4 * np.arange(3).repeat(len(columns[0])) + view
        on_device = torch.from_numpy(order).to(targets.device, non_blocking=True)
        ordered = Branch(branch.pooled[on_device], branch.neck[on_device], branch.logits[on_device])
        rows = (repeated[on_device], torch.from_numpy(modality[order]), torch.from_numpy(numbered[order]))
        originals = (targets, modalities, views)
        return [
            LossInputs({"global": ordered}, *rows),
            ExpansionInputs({}, *originals, name="expansion", expanded=branch.pooled),
        ]

    def embed(self, maps: dict[str, Tensor], modalities: Tensor | None) -> Tensor:
        """Return the test feature (B, 6D), whose inner products are weighted sums of the three embeddings' cosines."""
        parts = self.test_feature.parts(self.heads["global"], maps["expanded"])
        return torch.cat([rows for part in parts for rows in part.view(3, -1, part.shape[1]).unbind()], dim=1)
