"""IDKL, implicit discriminative knowledge learning (Ren and Zhang, CVPR 2024, arXiv 2403.11708).

    conv1 .. stage2 -> shared stage3, stage4 -> sh
                    -> specific stage3, stage4 -> raw sp -> purifier -> purified sp

The configuration selects the paper's form (`idkl.yml`) or the released code's (`idkl_released.yml`). The test feature
is the BNNeck feature of the shared branch; the specific branch does not run. For what is stated, released and guessed,
see docs/methods/idkl.md.
"""

import copy
from typing import Any, ClassVar

import torch.nn.functional as F
from fastreid.config import CfgNode, configurable
from fastreid.modeling.meta_arch.build import META_ARCH_REGISTRY
from torch import Tensor, nn

from vireid_plugins.config.keys import arguments
from vireid_plugins.layers.frozen_statistics import frozen_statistics
from vireid_plugins.methods.idkl.config import IDKLOptions
from vireid_plugins.methods.idkl.losses import IDKLInputs, PurifierTerms
from vireid_plugins.methods.idkl.modules import Purified, Purifier, modality_head
from vireid_plugins.modeling.baseline import CrossModalityBaseline
from vireid_plugins.modeling.heads import build_head
from vireid_plugins.modeling.heads.branch_head import as_branch
from vireid_plugins.modeling.loss_inputs import Branch, LossInputs


@META_ARCH_REGISTRY.register()
class IDKL(CrossModalityBaseline):
    """Shared and specific branch, purifier, modality heads.

    The branches are called `sh`, `raw` (only if it has identity losses) and `sp` (purified).

    Args:
        purifier: None leaves it out; the raw specific branch then replaces the purified one in the alignments.
        options: `MODEL.IDKL`.
        parts: arguments of `CrossModalityBaseline`.
    """

    train_maps: ClassVar[tuple[str, ...]] = ("stage2", "stage3", "stage4")
    needs_maps: ClassVar[bool] = True

    @configurable
    def __init__(self, *, purifier: Purifier | None, options: IDKLOptions, **parts: Any) -> None:
        super().__init__(**parts)
        # Copied after the pretrained weights are loaded, so that both branches start from them.
        self.specific = nn.Sequential(*(copy.deepcopy(self.backbone.stages[name]) for name in ("stage3", "stage4")))
        self.purifier, self.options = purifier, options

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Return the constructor's arguments."""
        options = IDKLOptions(**arguments(cfg.MODEL.IDKL))
        parts = super().from_config(cfg)
        channels = parts["backbone"].channels["stage4"]
        purifier = Purifier(channels, **arguments(cfg.MODEL.ATTENTION.PURIFIER)) if options.purify else None
        return {**parts, "purifier": purifier, "options": options}

    @classmethod
    def build_heads(cls, cfg: CfgNode, channels: dict[str, int]) -> nn.ModuleDict:
        """Build the identity heads, the modality heads and, in the released form, the classifier of L_e."""
        options = IDKLOptions(**arguments(cfg.MODEL.IDKL))
        last = channels["stage4"]
        heads = nn.ModuleDict({"sh": build_head(cfg, last)})
        if options.purify:
            heads["sp"] = build_head(cfg, last)
        if options.has_raw_identity:
            heads["raw"] = build_head(cfg, last)
        if options.form == "released":
            heads["confuser0"], heads["discriminator0"] = modality_head(last), modality_head(last)
            if options.purify:
                heads["entropy"] = nn.Linear(last, cfg.MODEL.HEADS.NUM_CLASSES, bias=False)
            return heads
        for number, name in enumerate(("stage2", "stage3", "stage4")):
            heads[f"confuser{number}"] = modality_head(channels[name], reverse=options.grl_weight)
        for number, name in enumerate(("stage3", "stage4")):
            heads[f"discriminator{number}"] = modality_head(channels[name])
        return heads

    def extract(self, images: Tensor, modalities: Tensor | None, views: Tensor | None) -> dict[str, Tensor]:
        """Return the feature maps and, in training, what the specific stages start from."""
        if not self.training:
            return super().extract(images, modalities, views)
        outputs = self.backbone.outputs(images, modalities, views, self.train_maps)
        maps = {name: self.backbone.to_map(x) for name, x in outputs.items()}
        return {"shared": outputs["stage2"], **maps}

    def loss_inputs(
        self, maps: dict[str, Tensor], targets: Tensor, modalities: Tensor, views: Tensor
    ) -> list[LossInputs]:
        """Return the shared branch with the inputs of IDKL's losses, and each specific branch on its own."""
        rows = (targets, modalities, views)
        shared = as_branch(self.heads["sh"](maps["stage4"], targets))
        middle = self.specific[0](maps["shared"])
        raw_map = self.backbone.to_map(self.specific[1](middle))
        middle = self.backbone.to_map(middle)
        specific: list[LossInputs] = []
        terms = None
        if self.options.has_raw_identity:
            branch = as_branch(self.heads["raw"](raw_map, targets))
            specific.append(LossInputs({"raw": branch}, *rows, name="raw"))
        if self.purifier is not None:
            purified = self.purifier.parts(raw_map)
            branch = as_branch(self.heads["sp"](purified.purified, targets))
            specific.append(LossInputs({"sp": branch}, *rows, name="sp", weight=self.options.purified_weight))
            terms = self._purifier_terms(raw_map, purified)
        confusers, discriminators = self._modality_logits(maps, (middle, raw_map), shared, branch)
        main = IDKLInputs(
            {"sh": shared},
            *rows,
            specific=branch,
            purifier=terms,
            confusers=confusers,
            discriminators=discriminators,
        )
        return [main, *specific]

    def _modality_logits(
        self, maps: dict[str, Tensor], specific_maps: tuple[Tensor, Tensor], shared: Branch, specific: Branch
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Return the modality logits (B, 2) of the confusers and of the discriminators."""
        if self.options.form == "released":
            return [self.heads["confuser0"](shared.neck)], [self.heads["discriminator0"](specific.neck)]
        confused = [maps[name] for name in ("stage2", "stage3", "stage4")]
        return (
            [self.heads[f"confuser{number}"](_average(map_)) for number, map_ in enumerate(confused)],
            [self.heads[f"discriminator{number}"](_average(map_)) for number, map_ in enumerate(specific_maps)],
        )

    def embed(self, maps: dict[str, Tensor], modalities: Tensor | None) -> Tensor:
        """Return the BNNeck feature of the shared branch (B, D)."""
        return self.test_feature.of(self.heads["sh"], maps["stage4"])

    def _purifier_terms(self, raw_map: Tensor, purified: Purified) -> PurifierTerms:
        """Return the inputs of L_e and L_r."""
        head: Any = self.heads["sp"]
        pool = head.pool_layer
        maps = {"raw": raw_map, "discriminative": purified.discriminative, "kept": purified.kept}
        pooled = {name: pool(map_).flatten(1) for name, map_ in maps.items()}
        classify = self.heads["entropy"] if self.options.form == "released" else self._classify_purified
        return PurifierTerms(
            discriminative_logits=classify(pooled["discriminative"]),
            raw_logits=classify(pooled["raw"]),
            kept_pooled=pooled["kept"],
            normalized_pooled=pool(purified.normalized).flatten(1),
        )

    def _classify_purified(self, pooled: Tensor) -> Tensor:
        """Return the logits of the purified branch's BNNeck and classifier; running statistics are not updated."""
        head: Any = self.heads["sp"]
        with frozen_statistics(head.bottleneck):
            normalized = head.bottleneck(pooled[..., None, None]).flatten(1)
        return F.linear(normalized, head.weight)


def _average(map_: Tensor) -> Tensor:
    return map_.mean((2, 3))
