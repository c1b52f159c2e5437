"""What every method shares, and the bag-of-tricks baseline that is nothing else.

Shapes: `B` images, `D` embedding, `N` classes.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, cast

import torch
from fastreid.config import CfgNode, configurable
from fastreid.modeling.backbones import build_backbone
from fastreid.modeling.losses import log_accuracy
from fastreid.modeling.meta_arch.build import META_ARCH_REGISTRY
from fastreid.utils import events
from torch import Tensor, nn

from vireid_plugins.errors import ConfigError
from vireid_plugins.modeling.backbones import MultiStreamBackbone
from vireid_plugins.modeling.gather import gathered
from vireid_plugins.modeling.heads import Projection, TestFeature, build_head
from vireid_plugins.modeling.heads.branch_head import as_branch
from vireid_plugins.modeling.loss_inputs import MAIN, Branch, LossInputs
from vireid_plugins.modeling.losses import Loss, build_losses

# The accuracy of a training batch is read from the device this often.
ACCURACY_PERIOD = 20


@META_ARCH_REGISTRY.register()
class CrossModalityBaseline(nn.Module):
    """Streams, one head on the last map, losses.

    A method subclasses it and says which maps it takes (`train_maps`, `test_maps`), which heads it has
    (`build_heads`), which inputs it hands to the losses (`loss_inputs`), and what the test feature is (`embed`).

    In training `forward` returns the losses by name; in evaluation (B, D) features.
    """

    # Maps of the backbone that training and evaluation need.
    train_maps: ClassVar[tuple[str, ...]] = ("stage4",)
    test_maps: ClassVar[tuple[str, ...]] = ("stage4",)
    pixel_mean: Tensor
    pixel_std: Tensor
    losses: nn.ModuleList

    @configurable
    def __init__(
        self,
        *,
        backbone: MultiStreamBackbone,
        heads: nn.ModuleDict,
        losses: list[Loss],
        pixel_mean: list[float],
        pixel_std: list[float],
        gather: int = 0,
        test_feature: TestFeature = TestFeature(),  # noqa: B008  frozen
    ) -> None:
        super().__init__()
        # K, where the losses see the images of all processes.
        self.gather, self.test_feature = gather, test_feature
        self.backbone = backbone
        # fast-reid's SOLVER.HEADS_LR_FACTOR is for the parameters below this name.
        self.heads = heads
        self.losses = nn.ModuleList(losses)
        self._pixels = (pixel_mean, pixel_std)
        self.register_buffer("pixel_mean", torch.tensor(pixel_mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("pixel_std", torch.tensor(pixel_std).view(1, -1, 1, 1), persistent=False)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Return the constructor's arguments."""
        backbone = build_backbone(cfg)
        if not isinstance(backbone, MultiStreamBackbone):
            raise ConfigError(
                f"MODEL.BACKBONE.NAME: {cls.__name__} needs a backbone of stem and stages: set it to "
                f"build_multi_stream_backbone and MODEL.STREAMS.BACKBONE to {cfg.MODEL.BACKBONE.NAME}"
            )
        heads = cls.build_heads(cfg, backbone.channels)
        if cfg.MODEL.HEADS.PROJECTION_DIM:
            heads["projection"] = Projection(backbone.channels["stage4"], cfg.MODEL.HEADS.PROJECTION_DIM)
        return {
            "backbone": backbone,
            "heads": heads,
            "losses": build_losses(cfg),
            "pixel_mean": cfg.MODEL.PIXEL_MEAN,
            "pixel_std": cfg.MODEL.PIXEL_STD,
            "test_feature": TestFeature.from_config(cfg),
            "gather": cfg.DATALOADER.NUM_INSTANCE if cfg.MODEL.LOSSES.GATHER else 0,
        }

    @classmethod
    def build_heads(cls, cfg: CfgNode, channels: dict[str, int]) -> nn.ModuleDict:
        """Build the heads, by name, on maps of these channels; the projection is added to them."""
        return nn.ModuleDict({"global": build_head(cfg, channels["stage4"])})

    def hooks(self, cfg: CfgNode) -> list[Any]:
        """Return the hooks (fast-reid's `HookBase`) that the trainer calls around each step and epoch."""
        return []

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.pixel_mean.device

    def forward(self, batch: Mapping[str, Any] | Tensor) -> dict[str, Tensor] | Tensor:
        """Compute the losses of a training batch, or the features of any batch in evaluation."""
        if isinstance(batch, Tensor):
            batch = {"images": batch}
        images = self.normalize(batch["images"])
        modalities, views = _on_host(batch.get("modalities")), _on_host(batch.get("views"))
        if not self.training:
            return self.embed(self.extract(images, modalities, views), modalities)
        if modalities is None:
            raise ValueError("a training batch needs `modalities`")
        views = torch.zeros_like(modalities) if views is None else views
        precise_bn = _is_precise_bn(batch["targets"])
        targets = batch["targets"].to(self.device, non_blocking=True).clamp_min(0)
        maps = self.extract(images, modalities, views)
        inputs = self.loss_inputs(maps, targets, modalities, views)
        return {} if precise_bn else self.loss_dict(inputs)

    def extract(self, images: Tensor, modalities: Tensor | None, views: Tensor | None) -> dict[str, Tensor]:
        """Return the feature maps that `loss_inputs` or `embed` take.

        Methods with modules between the stages compose them themselves.
        """
        maps: dict[str, Tensor] = self.backbone(
            images, modalities, views, self.train_maps if self.training else self.test_maps
        )
        return maps

    def normalize(self, images: Tensor) -> Tensor:
        """Return images (B, 3, H, W) on the 0..255 scale normalized, in new memory.

        fast-reid's `Baseline` writes into its input, so that its flip test normalizes twice.
        """
        images = images.to(self.device, non_blocking=True)
        # float32 at least: a network in float64 (`model.double()`) gets float64.
        images = images.to(torch.promote_types(self.pixel_mean.dtype, torch.float32))
        mean, std = self.pixel_mean, self.pixel_std
        if mean.dtype == torch.float64:
            # The buffers were rounded to float32 before: 57.120000000000005 is then 57.11999893.
            mean, std = (mean.new_tensor(values).view(1, -1, 1, 1) for values in self._pixels)
        return (images - mean) / std

    def loss_inputs(
        self, maps: dict[str, Tensor], targets: Tensor, modalities: Tensor, views: Tensor
    ) -> list[LossInputs]:
        """Return what the losses look at; the accuracy is logged of the first branch of the first."""
        branch = as_branch(self.heads["global"](maps["stage4"], targets))
        return [LossInputs({"global": branch}, targets, modalities, views, self.project(branch.pooled))]

    def project(self, pooled: Tensor) -> Tensor | None:
        """Return the MLP's output on a pooled feature of stage 4, where `MODEL.HEADS.PROJECTION_DIM` asks for one."""
        return self.heads["projection"](pooled) if "projection" in self.heads else None

    def embed(self, maps: dict[str, Tensor], modalities: Tensor | None) -> Tensor:
        """Return the embeddings (B, D) of feature maps; `modalities` (B,) for heads that differ by modality."""
        return self.test_feature.of(self.heads["global"], maps["stage4"])

    def loss_dict(self, inputs: list[LossInputs]) -> dict[str, Tensor]:
        """Return every loss of all inputs that have what it looks at, by the name it is logged with.

        Raises:
            ConfigError: a loss finds nothing to look at.
        """
        if self.gather:
            inputs = [gathered(one, self.gather) for one in inputs]
        values: dict[str, Tensor] = {}
        for loss in cast(list[Loss], list(self.losses)):
            fitting = [one for one in inputs if loss.applies(one)]
            if not fitting:
                raise ConfigError(
                    f"MODEL.LOSSES.{loss.node()}: {type(loss).__name__} finds nothing to look at; "
                    f"{type(self).__name__} has {_described(inputs)}"
                )
            for one in fitting:
                prefix = "loss" if one.name == MAIN else f"loss_{one.name}"
                values |= {f"{prefix}_{key}": one.weight * value for key, value in loss(one).items()}
        self._log_accuracy(inputs[0])
        return values

    def _log_accuracy(self, inputs: LossInputs) -> None:
        """Log the share of rows of the first branch that are classified right, where somebody listens."""
        if events._CURRENT_STORAGE_STACK and events.get_event_storage().iter % ACCURACY_PERIOD == 0:
            branch: Branch = next(iter(inputs.branches.values()))
            log_accuracy(branch.logits.detach(), inputs.targets)


def _described(inputs: list[LossInputs]) -> str:
    """Name what losses could look at."""
    names = ", ".join(name for one in inputs for name in one.branches)
    projected = any(one.projection is not None for one in inputs)
    return f"the branches {names}" + ("" if projected else " and no projection (MODEL.HEADS.PROJECTION_DIM is 0)")


def _on_host(column: Tensor | None) -> Tensor | None:
    """Return a column of the batch on the host; fast-reid's own loader moves every tensor to the device."""
    return None if column is None else column.cpu()


def _is_precise_bn(targets: Tensor) -> bool:
    """Say whether fast-reid's PreciseBN hands in the batch, which then has targets of -1 and no use for losses.

    Only read on the host; on a device the losses of identity 0 are computed and dropped.
    """
    return targets.device.type == "cpu" and bool((targets.numpy() < 0).any())
