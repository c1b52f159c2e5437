"""Networks of timm (pytorch-image-models) by name, as stem and stages.

A network is what `timm.create_model(NAME, num_classes=0, global_pool='')` builds; the pieces compute what it computes,
which is checked whenever one is cut. timm says where the stages of a convolutional or hierarchical network end
(`feature_info`). Of a plain transformer a stage is a quarter of the blocks, as of fast-reid's ViT:

    stem: the patches -> (B, C, h, w)
    stage1 .. stage4: blocks -> (B, T, C); class token, registers and positions come before the first block, the norm
    after the last

The package is the extra `timm`, and is imported when such a network is built.
"""

import functools
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from fastreid.config import CfgNode
from fastreid.modeling.backbones.build import BACKBONE_REGISTRY
from torch import Tensor, nn

from vireid_plugins.config.keys import arguments, declare
from vireid_plugins.errors import ConfigError, InstallError
from vireid_plugins.modeling.backbones.adapters import Cut, register_adapter
from vireid_plugins.modeling.backbones.tokens import Grid
from vireid_plugins.modeling.backbones.vit import STAGES, FirstBlock, LastBlock, one_size

logger = logging.getLogger("fastreid." + __name__)
# Tokens in front of the patches, in this order.
PREFIX = ("cls_token", "dist_token", "reg_token")
# Image on which a network of any size is compared with its pieces; its sides differ, so that axes are told apart.
SMALL = (96, 64)


@dataclass(frozen=True, kw_only=True)
class TimmOptions:
    """`MODEL.TIMM`.

    Args:
        name: with MODEL.STREAMS.BACKBONE build_timm_backbone, the network: one of `timm.list_models()`, such as
            convnext_tiny or vit_small_patch16_224, perhaps with the tag of its weights (resnet50.a1_in1k).
        drop_path: rate of stochastic depth in the last block of a network of timm, falling to 0 in the first.

    Raises:
        ConfigError: `name` is empty or `drop_path` is not in [0, 1).
    """

    name: str = ""
    drop_path: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.drop_path < 1:
            raise ConfigError(f"MODEL.TIMM.DROP_PATH: must be at least 0 and below 1, got {self.drop_path}")


declare("MODEL.TIMM", TimmOptions)


def load_timm() -> Any:
    """Return the package timm.

    Raises:
        InstallError: it is missing.
    """
    try:
        import timm
    except ImportError as error:
        raise InstallError(
            f"MODEL.STREAMS.BACKBONE build_timm_backbone needs timm ({error}):", "    pip install timm"
        ) from None
    return timm


@BACKBONE_REGISTRY.register()
def build_timm_backbone(cfg: CfgNode) -> nn.Module:
    """Build the network `MODEL.TIMM.NAME`, with random weights and without classifier and pooling.

    Raises:
        ConfigError: there is no such network, or it cannot have the size or an option of the configuration.
        InstallError: timm is missing.
    """
    timm, options = load_timm(), TimmOptions(**arguments(cfg.MODEL.TIMM))
    if cfg.MODEL.BACKBONE.NAME == "build_timm_backbone":
        raise ConfigError(
            "MODEL.BACKBONE.NAME: build_timm_backbone is a value of MODEL.STREAMS.BACKBONE; MODEL.BACKBONE.NAME is "
            "build_multi_stream_backbone"
        )
    name = options.name
    if not timm.is_model(name):
        near = timm.list_models(f"*{name.split('.')[0].split('_')[0]}*")[:5] if name else []
        raise ConfigError(
            f"MODEL.TIMM.NAME: timm {timm.__version__} has no model '{name}'; timm.list_models() has "
            f"{', '.join(near or timm.list_models('*50')[:5])}, ..."
        )
    known = timm.get_pretrained_cfg(name)
    extra: dict[str, Any] = {"drop_path_rate": options.drop_path} if options.drop_path else {}
    if known.fixed_input_size:
        extra["img_size"] = tuple(one_size(cfg, name))
    make = functools.partial(timm.create_model, name, num_classes=0, global_pool="")
    try:
        if cfg.MODEL.BACKBONE.LAST_STRIDE == 1 and not known.fixed_input_size:
            return _at_stride_16(make, name, extra)
        return make(**extra)  # type: ignore[no-any-return]
    except (TypeError, AssertionError, ValueError) as error:
        raise ConfigError(
            f"MODEL.TIMM.NAME: timm cannot build {name} for INPUT.SIZE_TRAIN {list(cfg.INPUT.SIZE_TRAIN)} with "
            f"{extra or 'its defaults'}: {error}"
        ) from None


def _at_stride_16(make: Any, name: str, extra: Mapping[str, Any]) -> nn.Module:
    """Build a network whose last stage keeps the size of its map, if timm offers that.

    timm's `output_stride` dilates what follows; networks of re-identification do not, so that is taken back.
    """
    try:
        model: nn.Module = make(output_stride=16, **extra)
    except (TypeError, AssertionError, ValueError):
        logger.warning("MODEL.BACKBONE.LAST_STRIDE: 1 has no effect on %s, of which timm offers no such form", name)
        return make(**extra)  # type: ignore[no-any-return]
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and max(module.dilation) > 1:
            if not isinstance(module.padding, str):
                module.padding = tuple(p // d for p, d in zip(module.padding, module.dilation, strict=True))
            module.dilation = (1, 1)
    return model


class TimmTokens(nn.Module):
    """Puts the prefix tokens of a timm transformer in front of its patches and adds the positions.

    Args:
        model: whose tokens, positions, dropout and first norm are taken.
        height: rows of patches.
        width: columns of patches.

    Attributes:
        layout: of the sequence.
        grid: of the position embedding, which may have no rows for the prefix tokens.
    """

    pos_embed: Tensor | None

    def __init__(self, model: Any, height: int, width: int) -> None:
        super().__init__()
        self.names = [name for name in PREFIX if getattr(model, name, None) is not None]
        for name in (*self.names, "pos_embed"):
            setattr(self, name, getattr(model, name, None))
        self.pos_drop = getattr(model, "pos_drop", nn.Identity())
        self.norm_pre = getattr(model, "norm_pre", nn.Identity())
        count = sum(getattr(model, name).shape[1] for name in self.names)
        self.layout = Grid(height, width, count)
        self.apart = self.pos_embed is not None and self.pos_embed.shape[1] == height * width
        self.grid = Grid(height, width, 0 if self.apart else count)

    def forward(self, x: Tensor, modalities: Tensor | None = None) -> Tensor:
        """Return the sequence (B, T, C) of a map of patches (B, C, h, w)."""
        tokens = x.flatten(2).transpose(1, 2)
        if self.apart and self.pos_embed is not None:
            tokens = tokens + self.pos_embed
        # `len` would fix the number of images of an exported network.
        tokens = torch.cat([*(getattr(self, name).expand(x.shape[0], -1, -1) for name in self.names), tokens], dim=1)
        if self.pos_embed is not None and not self.apart:
            tokens = tokens + self.pos_embed
        out: Tensor = self.norm_pre(self.pos_drop(tokens))
        return out


class Patches(nn.Module):
    """A timm transformer's patch embedding, as a map (B, C, h, w)."""

    def __init__(self, embed: nn.Module, height: int, width: int) -> None:
        super().__init__()
        self.embed, self.grid = embed, Grid(height, width, 0)

    def forward(self, x: Tensor) -> Tensor:
        """Return the patches of images (B, 3, H, W)."""
        x = self.embed(x)
        # timm's networks of any image size have maps (B, h, w, C) here.
        return x.permute(0, 3, 1, 2) if x.ndim == 4 else self.grid.to_map(x)


class Rotated(nn.Module):
    """A block with rotary positions (DINOv3, EVA-02), which do not change."""

    turns: Tensor

    def __init__(self, block: nn.Module, turns: Tensor) -> None:
        super().__init__()
        self.block = block
        self.register_buffer("turns", turns, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Transform a sequence (B, T, C)."""
        out: Tensor = self.block(x, rope=self.turns)
        return out


class ChannelsLast(nn.Module):
    """A block that takes and returns maps (B, H, W, C), made to return (B, C, H, W), and perhaps to take it."""

    def __init__(self, block: nn.Module, takes: bool) -> None:
        super().__init__()
        self.block, self.takes = block, takes

    def forward(self, x: Tensor) -> Tensor:
        """Transform a map (B, C, H, W)."""
        out: Tensor = self.block(x.permute(0, 2, 3, 1) if self.takes else x)
        return out.permute(0, 3, 1, 2)


@register_adapter("build_timm_backbone")
def cut_timm(backbone: Any, cfg: CfgNode) -> Cut:
    """Cut a network of timm.

    Raises:
        ConfigError: its parts are not in series, or there are fewer than four stages.
    """
    name, reasons = cfg.MODEL.TIMM.NAME, []
    fixed = backbone.pretrained_cfg.get("fixed_input_size", False)
    size = cfg.INPUT.SIZE_TRAIN if fixed else SMALL
    image = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0))
    plain = hasattr(backbone, "patch_embed") and hasattr(getattr(backbone, "patch_embed", None), "grid_size")
    ways = [_cut_plain] if plain and hasattr(backbone, "blocks") else [_cut_finely, _cut_coarsely]
    for way in ways:
        try:
            found = way(backbone, cfg)
            _require_same(backbone, found, image)
        except ConfigError:
            raise
        except Exception as error:  # parts that are not in series fail in every way
            reasons.append(f"{type(error).__name__}: {error}")
            continue
        return found
    raise ConfigError(
        f"MODEL.TIMM.NAME: {name} ({type(backbone).__name__}) cannot be cut into a stem and four stages in series "
        f"({reasons[-1]}); ResNets, RegNets, EfficientNets, ConvNeXts, Swin and ViTs can"
    )


def _cut_plain(model: Any, cfg: CfgNode) -> Cut:
    """Cut a transformer whose blocks have the same number of tokens."""
    height, width = model.patch_embed.grid_size
    tokens = TimmTokens(model, height, width)
    if cfg.MODEL.STREAMS.TOKENS == "class" and "cls_token" not in tokens.names:
        raise ConfigError(
            f"MODEL.STREAMS.TOKENS: {cfg.MODEL.TIMM.NAME} has no class token; set it to mean or patches, and "
            "MODEL.HEADS.POOL_LAYER to GlobalAvgPool"
        )
    blocks = list(model.blocks)
    if len(blocks) < STAGES:
        raise ConfigError(f"MODEL.TIMM.NAME: {cfg.MODEL.TIMM.NAME} has {len(blocks)} blocks, and there are 4 stages")
    count = len(blocks)
    rope = getattr(model, "rope", None)
    if rope is not None:
        if next(rope.parameters(), None) is not None:
            raise ValueError("its rotary positions are learned")
        turns = rope.get_embed(shape=(height, width))
        blocks = [Rotated(block, turns) for block in blocks]
    norm = model.fc_norm if isinstance(model.norm, nn.Identity) else model.norm
    blocks[0], blocks[-1] = FirstBlock(tokens, blocks[0]), LastBlock(blocks[-1], norm)
    bounds = [number * count // STAGES for number in range(STAGES + 1)]
    stages = [blocks[first:last] for first, last in pairwise(bounds)]
    return Cut([Patches(model.patch_embed, height, width)], stages, tokens.layout)


def _cut_finely(model: Any, cfg: CfgNode) -> Cut:
    """Cut a network of maps; a stage has the blocks inside timm's module of the stage."""
    return _cut_maps(model, inside=True)


def _cut_coarsely(model: Any, cfg: CfgNode) -> Cut:
    """Cut a network of maps; a stage may be one block."""
    return _cut_maps(model, inside=False)


def _cut_maps(model: Any, *, inside: bool) -> Cut:
    """Cut a network of maps where timm says that a stage ends.

    The stem ends before the first of the last four of these stages, and what follows the last one, such as a norm,
    belongs to stage 4.

    Args:
        model: the network.
        inside: a stage that is no `nn.Sequential` is divided, too.
    """
    ends = [entry["module"] for entry in model.feature_info[-STAGES:]]
    if len(ends) < STAGES:
        raise ValueError(f"timm names {len(ends)} stages")
    units = list(_in_series(model, "", ends if inside else ()))
    of_stage = [[index for index, (name, _) in enumerate(units) if f"{name}.".startswith(f"{end}.")] for end in ends]
    if not all(of_stage):
        raise ValueError(f"{', '.join(ends)} are no parts of it in series")
    bounds = [of_stage[0][0], *(found[-1] + 1 for found in of_stage[:-1]), len(units)]
    last = getattr(model, "output_fmt", "NCHW") == "NHWC"
    modules = [ChannelsLast(module, index > 0) if last else module for index, (_, module) in enumerate(units)]
    kept = [not all(isinstance(leaf, nn.Identity | nn.Dropout) for leaf in _leaves(module)) for _, module in units]
    pieces = [
        [module for module, keep in zip(modules[first:end], kept[first:end], strict=True) if keep]
        for first, end in pairwise([0, *bounds])
    ]
    return Cut(pieces[0], pieces[1:])


def _in_series(module: nn.Module, name: str, divided: Sequence[str]) -> Iterator[tuple[str, nn.Module]]:
    """Yield the parts of a network in the order in which it has them, with their names."""
    for key, child in module.named_children():
        full = f"{name}{key}"
        stage = full in divided and next(child.children(), None) is not None
        if stage or (isinstance(child, nn.Sequential) and type(child).forward is nn.Sequential.forward):
            yield from _in_series(child, f"{full}.", divided)
        else:
            yield full, child


def _leaves(module: nn.Module) -> Iterator[nn.Module]:
    return (part for part in module.modules() if next(part.children(), None) is None)


@torch.no_grad()
def _require_same(model: nn.Module, pieces: Cut, image: Tensor) -> None:
    """Raise unless the pieces in series compute what the network computes.

    Gains of blocks may be 0 at the start and hide a difference, so all vectors have other values meanwhile.
    """
    generator = torch.Generator().manual_seed(0)
    vectors = [(p, p.clone()) for p in model.parameters() if p.ndim <= 1]
    modes = {module: module.training for module in model.modules()}
    try:
        model.eval()
        for vector, _ in vectors:
            vector.uniform_(0.2, 1.0, generator=generator)
        x = image
        for block in [*pieces.stem, *(block for stage in pieces.stages for block in stage)]:
            x = block.eval()(x)
            if x.ndim == 4 and abs(x.shape[2] * image.shape[3] - x.shape[3] * image.shape[2]) > max(image.shape):
                raise ValueError(f"a part of it returns {list(x.shape)}, which is not (B, C, H, W)")
        expected = model(image)
    finally:
        for vector, value in vectors:
            vector.copy_(value)
        for module, training in modes.items():
            module.training = training
    if pieces.grid is None and getattr(model, "output_fmt", "NCHW") == "NHWC":
        expected = expected.permute(0, 3, 1, 2)
    if x.ndim != (4 if pieces.grid is None else 3):
        raise ValueError(f"its output has {x.ndim} axes")
    if x.shape != expected.shape or not torch.allclose(x, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max())):
        raise ValueError("its parts in series compute something else")
