"""The base of methods that pool a feature map by part masks and teach classifiers of each modality (MPANet, SAAI).

    A_k = masks of the last feature map F,   f = [mean A_1 F, .., mean A_n F, mean F],   z = BNNeck(f)

with means over all positions, not divided by the sum of a mask. On z there are a classifier of all rows, one for each
modality, and a teacher for each modality.

Shapes: `B` images, `C` channels of the feature map, `n` parts, `P` positions, `D` = (n + 1) C, `N` classes.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from fastreid.config import CfgNode, configurable
from torch import Tensor, nn

from vireid_plugins.errors import ConfigError
from vireid_plugins.modeling.baseline import CrossModalityBaseline
from vireid_plugins.modeling.heads import build_head
from vireid_plugins.modeling.heads.branch_head import as_branch
from vireid_plugins.modeling.heads.teachers import Teacher, TeacherUpdate
from vireid_plugins.modeling.loss_inputs import Branch, LossInputs
from vireid_plugins.modeling.losses.parts import PartInputs

# Heads that are classifiers of one modality.
MODALITIES = ("visible", "infrared")


@dataclass(frozen=True, kw_only=True)
class PartOptions:
    """Options of a method with parts and mutual teaching; a method has a subclass with its defaults.

    Args:
        parts: n, number of part masks; 0 pools the whole feature map alone (ablation).
        mutual: with a classifier and a teacher for each modality.
        update_rate: share of a classifier's weights that its teacher takes at each step; it falls after 99 epochs.

    Raises:
        ConfigError: a number is out of range.
    """

    node: ClassVar[str]

    parts: int
    mutual: bool = True
    update_rate: float

    def __post_init__(self) -> None:
        if self.parts < 0:
            raise ConfigError(f"{self.node}.PARTS: must be 0 or more, got {self.parts}")
        if not 0 <= self.update_rate <= 1:
            raise ConfigError(f"{self.node}.UPDATE_RATE: must be 0 to 1, got {self.update_rate}")


class PartBaseline(CrossModalityBaseline):
    """The baseline with part masks and mutual teaching. A method defines the masks and the BNNeck.

    Args:
        masks: returns the masks A (B, n, P) of a feature map (B, C, H, W); None pools without parts.
        update_rate: see `TeacherUpdate`.
        parts: arguments of `CrossModalityBaseline`.
    """

    @configurable
    def __init__(self, *, masks: nn.Module | None, update_rate: float, **parts: Any) -> None:
        super().__init__(**parts)
        self.masks, self.update_rate = masks, update_rate

    @staticmethod
    def part_heads(cfg: CfgNode, channels: int, options: PartOptions) -> nn.ModuleDict:
        """Return the head of all rows and, with mutual teaching, classifiers and teachers of each modality.

        Args:
            cfg: the configuration.
            channels: C.
            options: of the method.
        """
        width = channels * (options.parts + 1)
        heads = nn.ModuleDict({"global": build_head(cfg, width)})
        for name in MODALITIES if options.mutual else ():
            # Not fast-reid's margins: the classifiers of one modality are linear.
            student = nn.Linear(width, cfg.MODEL.HEADS.NUM_CLASSES, bias=False)
            if cfg.MODEL.HEADS.CLASSIFIER_STD:
                nn.init.normal_(student.weight, std=cfg.MODEL.HEADS.CLASSIFIER_STD)
            heads[name], heads[f"{name}_teacher"] = student, Teacher(student)
        return heads

    def hooks(self, cfg: CfgNode) -> list[Any]:
        """Return the hook that moves the teachers, if there are any."""
        pairs: list[Any] = [
            (self.heads[name], self.heads[f"{name}_teacher"]) for name in MODALITIES if name in self.heads
        ]
        return [TeacherUpdate(pairs, self.update_rate)] if pairs else []

    def loss_inputs(
        self, maps: dict[str, Tensor], targets: Tensor, modalities: Tensor, views: Tensor
    ) -> list[LossInputs]:
        """Return the branch `global`, the masks, and the logits of each row's own classifier and other teacher."""
        feature_map = maps["stage4"]
        f, masks = self.pooled(feature_map)
        branch = self.branch(f, targets, modalities)
        projection = self.project(f[:, -feature_map.shape[1] :])
        inputs = PartInputs({"global": branch}, targets, modalities, views, projection, masks=masks)
        if MODALITIES[0] not in self.heads:
            return [inputs]
        visible, infrared = inputs.by_modality(branch.neck)
        own = torch.cat([self.heads["visible"](visible), self.heads["infrared"](infrared)])
        with torch.no_grad():
            teacher = torch.cat([self.heads["infrared_teacher"](visible), self.heads["visible_teacher"](infrared)])
        return [replace(inputs, own_logits=own, teacher_logits=teacher)]

    def pooled(self, feature_map: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return f (B, D) of a feature map (B, C, H, W), and the masks (B, n, P) if there are any."""
        if self.masks is None:
            return feature_map.mean((2, 3)), None
        masks: Tensor = self.masks(feature_map)
        whole = torch.cat([masks, torch.ones_like(masks[:, :1])], dim=1)
        # Divided first, which keeps sums over positions within half precision.
        parts = torch.bmm(whole / whole.shape[2], feature_map.flatten(2).transpose(1, 2))
        return parts.flatten(1), masks

    def branch(self, f: Tensor, targets: Tensor, modalities: Tensor) -> Branch:
        """Return the branch of f (B, D), with the BNNeck of the head; a method may have another one."""
        return as_branch(self.heads["global"](f[..., None, None], targets))

    def embed(self, maps: dict[str, Tensor], modalities: Tensor | None) -> Tensor:
        """Return the test feature (B, D) of the head."""
        f, _ = self.pooled(maps["stage4"])
        return self.test_feature.of(self.heads["global"], f[..., None, None])
