"""The bag-of-tricks baseline, which is also the base class of every method.

Shapes: `B` images, `D` embedding, `N` classes.
"""

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from types import MappingProxyType
from typing import Any, ClassVar, cast

import torch
from fastreid.config import CfgNode, configurable
from fastreid.modeling.backbones import build_backbone
from fastreid.modeling.losses import log_accuracy
from fastreid.modeling.meta_arch.build import META_ARCH_REGISTRY
from fastreid.utils import events
from torch import Tensor, nn

from vireid_plugins.errors import ConfigError
from vireid_plugins.layers.batch_counters import counted_together
from vireid_plugins.layers.distances import Distances
from vireid_plugins.layers.pixels import in_rows, normalized_rows
from vireid_plugins.layers.recomputed_activations import recomputed_activations
from vireid_plugins.modeling.backbones import MultiStreamBackbone
from vireid_plugins.modeling.gather import gathered
from vireid_plugins.modeling.heads import Projection, TestFeature, build_head
from vireid_plugins.modeling.heads.branch_head import as_branch
from vireid_plugins.modeling.loss_inputs import MAIN, Branch, LossInputs
from vireid_plugins.modeling.losses import Loss, build_losses, weighted
from vireid_plugins.modeling.losses.epochs import EpochRange, epoch_ranges

# Iterations between two readings of the training accuracy from the device.
ACCURACY_PERIOD = 20


@META_ARCH_REGISTRY.register()
class CrossModalityBaseline(nn.Module):
    """Streams, one head on the last feature map, losses.

    A method subclasses it and defines its feature maps (`train_maps`, `test_maps`), its heads (`build_heads`), the
    inputs of the losses (`loss_inputs`) and the test feature (`embed`).

    `forward` returns the losses by name in training, and test features (B, D) in evaluation.

    Args:
        backbone: stem and stages.
        heads: heads by name.
        losses: losses on `loss_inputs`.
        pixel_mean: mean of each channel on the 0..255 scale.
        pixel_std: standard deviation of each channel.
        gather: K, to let the losses see the images of all processes; 0 does not.
        recompute: compute activations again in the backward pass, instead of storing them.
        test_feature: the feature that evaluation takes from a head.
        loss_epochs: by the name of its class, the epochs of a loss that is not used in all.

    Attributes:
        epoch: the epoch of the losses outside a training, counted from 0; in a training it is the trainer's.
    """

    # Feature maps of the backbone that training and evaluation need.
    train_maps: ClassVar[tuple[str, ...]] = ("stage4",)
    test_maps: ClassVar[tuple[str, ...]] = ("stage4",)
    # Whether the method's own modules work on feature maps, so that the class token of a ViT is not enough.
    needs_maps: ClassVar[bool] = False
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
        recompute: bool = False,
        test_feature: TestFeature = TestFeature(),  # noqa: B008  frozen
        loss_epochs: Mapping[str, EpochRange] = MappingProxyType({}),
    ) -> None:
        super().__init__()
        self.loss_epochs, self.epoch = dict(loss_epochs), 0
        self.gather, self.recompute, self.test_feature = gather, recompute, test_feature
        self.backbone = backbone
        # fast-reid applies SOLVER.HEADS_LR_FACTOR to the parameters below this name.
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
                f"MODEL.BACKBONE.NAME: {cls.__name__} needs a backbone with a stem and stages; set it to "
                f"build_multi_stream_backbone and MODEL.STREAMS.BACKBONE to {cfg.MODEL.BACKBONE.NAME}"
            )
        if cls.needs_maps and backbone.grid is not None and backbone.tokens != "patches":
            raise ConfigError(
                f"MODEL.STREAMS.TOKENS: {cls.__name__} needs feature maps, and '{backbone.tokens}' has none; set it to "
                "patches, and MODEL.HEADS.POOL_LAYER to GlobalAvgPool"
            )
        heads = cls.build_heads(cfg, backbone.channels)
        if cfg.MODEL.HEADS.PROJECTION_DIM:
            heads["projection"] = Projection(backbone.channels["stage4"], cfg.MODEL.HEADS.PROJECTION_DIM)
        return {
            "backbone": backbone,
            "heads": heads,
            "losses": build_losses(cfg),
            "loss_epochs": epoch_ranges(cfg),
            "pixel_mean": cfg.MODEL.PIXEL_MEAN,
            "pixel_std": cfg.MODEL.PIXEL_STD,
            "test_feature": TestFeature.from_config(cfg),
            "gather": cfg.DATALOADER.NUM_INSTANCE if cfg.MODEL.LOSSES.GATHER else 0,
            "recompute": _recompute(cfg),
        }

    @classmethod
    def build_heads(cls, cfg: CfgNode, channels: dict[str, int]) -> nn.ModuleDict:
        """Build the heads by name, given the channels of each feature map; the projection is added to them."""
        return nn.ModuleDict({"global": build_head(cfg, channels["stage4"])})

    def hooks(self, cfg: CfgNode) -> list[Any]:
        """Return the hooks (fast-reid's `HookBase`) that the trainer calls around each step and epoch."""
        return []

    @property
    def device(self) -> torch.device:
        """The device of the parameters."""
        return self.pixel_mean.device

    def forward(self, batch: Mapping[str, Any] | Tensor) -> dict[str, Tensor] | Tensor:
        """Compute the losses of a training batch, or the features of any batch in evaluation."""
        if isinstance(batch, Tensor):
            batch = {"images": batch}
        images = self.normalize(batch["images"])
        modalities, views = _on_host(batch.get("modalities")), _on_host(batch.get("views"))
        self._show_cameras(batch.get("camids"))
        if not self.training:
            features = self.embed(self.extract(images, modalities, views), modalities)
            self._show_cameras(None)
            return features
        if modalities is None:
            raise ValueError("a training batch needs `modalities`")
        views = torch.zeros_like(modalities) if views is None else views
        precise_bn = _is_precise_bn(batch["targets"])
        targets = batch["targets"].to(self.device, non_blocking=True).clamp_min(0)
        with counted_together(self), recomputed_activations(self) if self.recompute else nullcontext():
            maps = self.extract(images, modalities, views)
            inputs = self.loss_inputs(maps, targets, modalities, views)
        return {} if precise_bn else self.loss_dict(inputs)

    def _show_cameras(self, cameras: Tensor | None) -> None:
        # Backbones of plug-ins need not know of cameras.
        if see := getattr(self.backbone, "see_cameras", None):
            see(cameras)

    def extract(self, images: Tensor, modalities: Tensor | None, views: Tensor | None) -> dict[str, Tensor]:
        """Return the feature maps that `loss_inputs` or `embed` take.

        Methods with modules between the stages override it.
        """
        maps: dict[str, Tensor] = self.backbone(
            images, modalities, views, self.train_maps if self.training else self.test_maps
        )
        return maps

    def normalize(self, images: Tensor) -> Tensor:
        """Normalize images (B, 3, H, W) on the 0..255 scale, in new memory.

        fast-reid's `Baseline` normalizes in place, so that its flip test normalizes twice.
        """
        images = images.to(self.device, non_blocking=True)
        # At least float32; a network in float64 (`model.double()`) gets float64.
        mean, std = self.pixel_mean, self.pixel_std
        dtype = torch.float64 if mean.dtype == torch.float64 else torch.float32
        if mean.dtype == dtype and in_rows(images):
            return normalized_rows(images, *self._pixels, dtype)
        images = images.to(dtype)
        if mean.dtype == torch.float64:
            # The buffers were rounded to float32: 57.120000000000005 became 57.11999893.
            mean, std = (mean.new_tensor(values).view(1, -1, 1, 1) for values in self._pixels)
        return (images - mean) / std

    def loss_inputs(
        self, maps: dict[str, Tensor], targets: Tensor, modalities: Tensor, views: Tensor
    ) -> list[LossInputs]:
        """Return the inputs of the losses; the accuracy of the first branch of the first inputs is logged."""
        branch = as_branch(self.heads["global"](maps["stage4"], targets))
        return [LossInputs({"global": branch}, targets, modalities, views, self.project(branch.pooled))]

    def project(self, pooled: Tensor) -> Tensor | None:
        """Return the projection of a pooled feature of stage 4; None if `MODEL.HEADS.PROJECTION_DIM` is 0."""
        return self.heads["projection"](pooled) if "projection" in self.heads else None

    def embed(self, maps: dict[str, Tensor], modalities: Tensor | None) -> Tensor:
        """Return the embeddings (B, D) of feature maps; `modalities` (B,) is for heads that differ by modality."""
        return self.test_feature.of(self.heads["global"], maps["stage4"])

    def loss_dict(self, inputs: list[LossInputs]) -> dict[str, Tensor]:
        """Return every loss on all inputs that it applies to, by the name it is logged with.

        Raises:
            ConfigError: a loss applies to none of the inputs.
        """
        if self.gather:
            inputs = [gathered(one, self.gather) for one in inputs]
        distances = Distances()
        inputs = [replace(one, shared_distances=distances) for one in inputs]
        values: dict[str, Tensor] = {}
        for loss in self.active_losses():
            applicable = [one for one in inputs if loss.applies(one)]
            if not applicable:
                raise ConfigError(
                    f"MODEL.LOSSES.{loss.node()}: {type(loss).__name__} does not apply to {type(self).__name__}, which "
                    f"has {_described(inputs)}"
                )
            for one, terms in zip(applicable, loss.terms(applicable), strict=True):
                prefix = "loss" if one.name == MAIN else f"loss_{one.name}"
                values |= {f"{prefix}_{key}": weighted(one.weight, value) for key, value in terms.items()}
        self._log_accuracy(inputs[0])
        return values

    def active_losses(self) -> list[Loss]:
        """Return the losses of the current epoch."""
        losses = cast(list[Loss], list(self.losses))
        if not self.loss_epochs:
            return losses
        # Not from the batch: batches are loaded ahead.
        storage = events.get_event_storage() if events._CURRENT_STORAGE_STACK else None
        epoch = getattr(storage, "epoch", self.epoch)
        ranges = ((one, self.loss_epochs.get(type(one).__name__)) for one in losses)
        return [one for one, epochs in ranges if epochs is None or epochs.has(epoch)]

    def _log_accuracy(self, inputs: LossInputs) -> None:
        """Log the classification accuracy of the first branch, if there is an event storage."""
        if events._CURRENT_STORAGE_STACK and events.get_event_storage().iter % ACCURACY_PERIOD == 0:
            branch: Branch = next(iter(inputs.branches.values()))
            log_accuracy(branch.logits.detach(), inputs.targets)


def _described(inputs: list[LossInputs]) -> str:
    """Describe the branches and the projection that losses can use."""
    names = ", ".join(name for one in inputs for name in one.branches)
    projected = any(one.projection is not None for one in inputs)
    return f"the branches {names}" + ("" if projected else " and no projection (MODEL.HEADS.PROJECTION_DIM is 0)")


def _recompute(cfg: CfgNode) -> bool:
    if cfg.MODEL.RECOMPUTE_ACTIVATIONS and cfg.MODEL.COMPILE:
        raise ConfigError("MODEL.RECOMPUTE_ACTIVATIONS: not with MODEL.COMPILE; set one of them to False")
    return bool(cfg.MODEL.RECOMPUTE_ACTIVATIONS)


def _on_host(column: Tensor | None) -> Tensor | None:
    """Return a column of the batch on the host; fast-reid's own loader moves every tensor to the device."""
    return None if column is None else column.cpu()


def _is_precise_bn(targets: Tensor) -> bool:
    """Return whether the batch comes from fast-reid's PreciseBN, which sets targets to -1 and drops the losses.

    Only targets on the host are read; on a device the losses are computed with identity 0, and dropped.
    """
    return targets.device.type == "cpu" and bool((targets.numpy() < 0).any())
