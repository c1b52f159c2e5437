"""Builders of multi-stream backbones in fast-reid's `BACKBONE_REGISTRY`."""

import torch
from fastreid.config import CfgNode
from fastreid.modeling.backbones.build import BACKBONE_REGISTRY
from torch import Tensor

from vireid_plugins.compat import patch
from vireid_plugins.config.check import require_name
from vireid_plugins.errors import ConfigError
from vireid_plugins.modeling.attention import MapShape, build_map_modules
from vireid_plugins.modeling.backbones.adapters import ADAPTERS, Cut, cut
from vireid_plugins.modeling.backbones.multi_stream import MultiStreamBackbone, Stage
from vireid_plugins.modeling.backbones.pretrained import (
    load_infrared_stems,
    load_pretrained,
    max_pool_of,
    read_pretrained,
)


@BACKBONE_REGISTRY.register()
def build_multi_stream_backbone(cfg: CfgNode) -> MultiStreamBackbone:
    """Build `MODEL.STREAMS.COUNT` streams over the backbone `MODEL.STREAMS.BACKBONE`.

    Raises:
        ConfigError: a name or number of `MODEL.STREAMS` or `MODEL.ATTENTION` is wrong, or pretrained weights cannot be
            had.
    """
    return _build(cfg, cfg.MODEL.STREAMS.COUNT)


@BACKBONE_REGISTRY.register()
def build_dual_stream_backbone(cfg: CfgNode) -> MultiStreamBackbone:
    """Build one stream a modality, whatever `MODEL.STREAMS.COUNT` says."""
    return _build(cfg, 2)


@BACKBONE_REGISTRY.register()
def build_quadruple_stream_backbone(cfg: CfgNode) -> MultiStreamBackbone:
    """Build one stream a modality and view, whatever `MODEL.STREAMS.COUNT` says."""
    return _build(cfg, 4)


def _build(cfg: CfgNode, count: int) -> MultiStreamBackbone:
    require_name("MODEL.STREAMS.COUNT", str(count), ("1", "2", "4"))
    separate = cfg.MODEL.STREAMS.SEPARATE_STAGES
    if not 0 <= separate <= 4:
        raise ConfigError(f"MODEL.STREAMS.SEPARATE_STAGES: must be 0 to 4, got {separate}")
    require_name("MODEL.STREAMS.BACKBONE", cfg.MODEL.STREAMS.BACKBONE, ADAPTERS)
    inner = cfg.clone()
    inner.defrost()
    # Weights are loaded here, where every source is known and the max-pool can follow it.
    inner.MODEL.BACKBONE.PRETRAIN = False
    patch(only=["package_files"])
    try:
        backbone = BACKBONE_REGISTRY.get(cfg.MODEL.STREAMS.BACKBONE)(inner)
    except (KeyError, NotImplementedError):
        raise ConfigError(
            f"MODEL.BACKBONE.DEPTH: {cfg.MODEL.STREAMS.BACKBONE} has no '{cfg.MODEL.BACKBONE.DEPTH}'; fast-reid names "
            "them as 50x (ResNets), x1_0 (OSNet), 800x (RegNet), b0 (EfficientNet), 1.0x (MobileNetV2, ShuffleNetV2), "
            "A0 (RepVGG)"
        ) from None
    weights = read_pretrained(cfg) if cfg.MODEL.BACKBONE.PRETRAIN else None
    if weights:
        load_pretrained(backbone, weights)
    inner.MODEL.STREAMS.MAX_POOL = max_pool_of(cfg)
    pieces = cut(backbone, inner)
    maps = _probe(pieces, cfg.INPUT.SIZE_TRAIN)
    stages = []
    for number, blocks in enumerate(pieces.stages, start=1):
        map_ = maps[f"stage{number}"]
        to_last = max(1, round(map_.shape[2] / maps["stage4"].shape[2]))
        plugged = build_map_modules(cfg, MapShape(number, map_.shape[1], to_last), len(blocks))
        stages.append(Stage(blocks, plugged))
    channels = {name: map_.shape[1] for name, map_ in maps.items()}
    sizes = {name: (map_.shape[2], map_.shape[3]) for name, map_ in maps.items()}
    built = MultiStreamBackbone(Stage(pieces.stem), stages, channels, sizes, count=count, separate_stages=separate)
    if weights:
        load_infrared_stems(built.stem.copies, weights)
    return built


def _probe(pieces: Cut, size: list[int]) -> dict[str, Tensor]:
    """Return the maps of one blank image, so that no channel count or stride has to be typed."""
    parts = {"stem": Stage(pieces.stem), **{f"stage{n}": Stage(b) for n, b in enumerate(pieces.stages, start=1)}}
    maps: dict[str, Tensor] = {}
    x = torch.zeros(1, 3, *size)
    with torch.no_grad():
        for name, part in parts.items():
            was_training = part.training
            x = part.eval()(x)
            part.train(was_training)
            maps[name] = x
    return maps
