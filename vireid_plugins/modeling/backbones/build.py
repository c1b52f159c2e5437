"""The builder of multi-stream backbones in fast-reid's `BACKBONE_REGISTRY`."""

import logging

import torch
from fastreid.config import CfgNode
from fastreid.modeling.backbones.build import BACKBONE_REGISTRY
from torch import nn

from vireid_plugins.compat.registry import patch
from vireid_plugins.errors import ConfigError, require_name
from vireid_plugins.modeling.attention import MapShape, build_map_modules
from vireid_plugins.modeling.backbones.adapters import ADAPTERS, BUILDERS, Cut, cut
from vireid_plugins.modeling.backbones.multi_stream import MultiStreamBackbone, Stage, stages_of
from vireid_plugins.modeling.backbones.pretrained import (
    load_infrared_stems,
    load_pretrained,
    read_pretrained,
)
from vireid_plugins.modeling.backbones.tokens import TOKENS, OnPatches

logger = logging.getLogger("fastreid." + __name__)


@BACKBONE_REGISTRY.register()
def build_multi_stream_backbone(cfg: CfgNode) -> MultiStreamBackbone:
    """Build `MODEL.STREAMS.COUNT` streams over the backbone `MODEL.STREAMS.BACKBONE`.

    Raises:
        ConfigError: a name or number of `MODEL.STREAMS` or `MODEL.ATTENTION` is invalid, or pretrained weights cannot
            be obtained.
    """
    count = cfg.MODEL.STREAMS.COUNT
    require_name("MODEL.STREAMS.COUNT", str(count), ("1", "2", "4"))
    separate = cfg.MODEL.STREAMS.SEPARATE_STAGES
    if not 0 <= separate <= 4:
        raise ConfigError(f"MODEL.STREAMS.SEPARATE_STAGES: must be 0 to 4, got {separate}")
    require_name("MODEL.STREAMS.BACKBONE", cfg.MODEL.STREAMS.BACKBONE, ADAPTERS)
    require_name("MODEL.STREAMS.TOKENS", cfg.MODEL.STREAMS.TOKENS, TOKENS)
    backbone_cfg = cfg.clone()
    backbone_cfg.defrost()
    # Weights are loaded below, from any source and with the max-pool that matches it.
    backbone_cfg.MODEL.BACKBONE.PRETRAIN = False
    patch(only=["package_files"])
    try:
        name = cfg.MODEL.STREAMS.BACKBONE
        backbone = (BUILDERS.get(name) or BACKBONE_REGISTRY.get(name))(backbone_cfg)
    except (KeyError, NotImplementedError):
        raise ConfigError(
            f"MODEL.BACKBONE.DEPTH: {cfg.MODEL.STREAMS.BACKBONE} has no '{cfg.MODEL.BACKBONE.DEPTH}'; depths are named "
            "like 50x (ResNets), x1_0 (OSNet), 800x (RegNet), b0 (EfficientNet), 1.0x (MobileNetV2, ShuffleNetV2), A0 "
            "(RepVGG), base (ViT)"
        ) from None
    weights = read_pretrained(cfg) if cfg.MODEL.BACKBONE.PRETRAIN else None
    if weights:
        load_pretrained(backbone, weights, cfg)
    pieces = cut(backbone, cfg)
    maps = _probe(pieces, cfg.INPUT.SIZE_TRAIN)
    stages = [
        Stage(blocks, _plugged(cfg, pieces, map_shapes))
        for blocks, map_shapes in zip(pieces.stages, _map_shapes(cfg, pieces, maps), strict=True)
    ]
    channels = {name: shapes[-1][1] for name, shapes in maps.items()}
    sizes = {name: (shapes[-1][2], shapes[-1][3]) for name, shapes in maps.items()}
    if pieces.grid is not None:
        _warn_of_gem(cfg)
        if cfg.MODEL.STREAMS.TOKENS != "patches":
            sizes["stage4"] = (1, 1)
    built = MultiStreamBackbone(
        *(Stage(pieces.stem), stages, channels, sizes),
        count=count,
        separate_stages=separate,
        grid=pieces.grid,
        tokens=cfg.MODEL.STREAMS.TOKENS,
    )
    if weights:
        load_infrared_stems(built.stem.copies, weights, cfg)
    for stage in stages_of(built):
        stage.keeps_input_only = cfg.MODEL.CHECKPOINT_STAGES
    return built


def _warn_of_gem(cfg: CfgNode) -> None:
    """Log a warning if a generalized mean would pool tokens, of whose values about half are negative."""
    if cfg.MODEL.HEADS.POOL_LAYER.startswith("Ge"):
        logger.warning(
            "MODEL.HEADS.POOL_LAYER: %s cuts off negative values, which half of a ViT's are after its last norm; use "
            "GlobalAvgPool, or Identity for the class token",
            cfg.MODEL.HEADS.POOL_LAYER,
        )


def _plugged(cfg: CfgNode, pieces: Cut, shapes: list[MapShape]) -> list[tuple[int, nn.Module]]:
    """Build the map modules of a stage; on a sequence they see the patches.

    Raises:
        ConfigError: a module would change patches of which nothing is used afterwards.
    """
    modules = build_map_modules(cfg, shapes)
    if pieces.grid is None:
        return modules
    key = f"MODEL.ATTENTION.STAGE{shapes[-1].stage}"
    if cfg.MODEL.STREAMS.TOKENS == "class" and shapes[-1].stage == 4 and any(a == len(shapes) - 1 for a, _ in modules):
        raise ConfigError(
            f"{key}: {cfg.MODEL.ATTENTION.STAGE4} puts a module after the last block, which changes patches that the "
            f"class token no longer sees; put it after an earlier block ('Name@{len(shapes) - 2}'), or set "
            "MODEL.STREAMS.TOKENS to patches or mean"
        )
    return [(after, OnPatches(module, pieces.grid)) for after, module in modules]


def _map_shapes(cfg: CfgNode, pieces: Cut, trained: dict[str, list[torch.Size]]) -> list[list[MapShape]]:
    """Return the shape of the feature map after each block of each stage; it can change within a stage."""
    has_attention = any(cfg.MODEL.ATTENTION[f"STAGE{number}"] for number in range(1, 5))
    sizes_differ = has_attention and list(cfg.INPUT.SIZE_TEST) != list(cfg.INPUT.SIZE_TRAIN)
    tested = _probe(pieces, cfg.INPUT.SIZE_TEST) if sizes_differ else trained
    _, _, last_h, last_w = trained["stage4"][-1]
    map_shapes = []
    for number in range(1, 5):
        pairs = zip(trained[f"stage{number}"], tested[f"stage{number}"], strict=True)
        # Rounded up, as the grid is: 9 rows at stride ceil(9 / 2) = 5 give the 2 rows of the last feature map.
        map_shapes.append(
            [
                MapShape(
                    number,
                    c,
                    (max(1, -(-h // last_h)), max(1, -(-w // last_w))),
                    {"INPUT.SIZE_TRAIN": (h, w), "INPUT.SIZE_TEST": (at_test[2], at_test[3])},
                )
                for (_, c, h, w), at_test in pairs
            ]
        )
    return map_shapes


def _probe(pieces: Cut, size: list[int]) -> dict[str, list[torch.Size]]:
    """Return the shape of the feature map after each block, so that no shapes are hard-coded; B is 0 or 1."""
    try:
        # An empty batch has the shapes of an image and takes no time.
        return _shapes(pieces, torch.zeros(0, 3, *size))
    except (IndexError, RuntimeError):
        # Instance norms and some reshapes need an image.
        return _shapes(pieces, torch.zeros(1, 3, *size))


@torch.no_grad()
def _shapes(pieces: Cut, x: torch.Tensor) -> dict[str, list[torch.Size]]:
    """Return the shape of what each block makes of the images x (B, 3, H, W)."""
    parts = {"stem": pieces.stem, **{f"stage{n}": blocks for n, blocks in enumerate(pieces.stages, start=1)}}
    known = torch.zeros(len(x), dtype=torch.long)
    shapes: dict[str, list[torch.Size]] = {}
    for name, blocks in parts.items():
        shapes[name] = []
        for block in blocks:
            was_training = block.training
            try:
                x = block.eval()(x, known) if getattr(block, "takes_modalities", False) else block.eval()(x)
            finally:
                block.train(was_training)
            shape = x.shape
            if pieces.grid is not None and x.ndim == 3:
                shape = torch.Size((len(x), x.shape[2], pieces.grid.height, pieces.grid.width))
            shapes[name].append(shape)
    return shapes
