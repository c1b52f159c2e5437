"""Networks of timm as backbones."""

import logging
from pathlib import Path

import pytest
import torch
from fastreid.config import CfgNode
from fastreid.modeling.backbones import build_backbone
from fastreid.modeling.meta_arch import build_model
from helpers import batch, small_cfg

from vireid_plugins.errors import ConfigError
from vireid_plugins.modeling.backbones.timm_models import build_timm_backbone

timm = pytest.importorskip("timm")
# One small network of every kind: bottlenecks, inverted residuals, channels-last norms, windows, class token, registers
# without positions, neither, relative positions.
MAPS = ("test_resnet", "test_efficientnet", "test_convnext", "test_maxvit", "test_nfnet")
SEQUENCES = ("test_vit", "test_vit2", "test_vit3", "test_vit_relpos")


def timm_cfg(name: str, *overrides: str, config: str = "SYSU/one_stream.yml") -> CfgNode:
    return small_cfg(
        config,
        *("MODEL.STREAMS.BACKBONE", "build_timm_backbone", "MODEL.TIMM.NAME", name, "MODEL.STREAMS.TOKENS", "patches"),
        *("MODEL.HEADS.POOL_LAYER", "GlobalAvgPool", "MODEL.HEADS.NUM_CLASSES", "4", *overrides),
    )


@pytest.mark.parametrize("name", MAPS + SEQUENCES)
def test_timm_backbone_pieces_are_the_network(name: str) -> None:
    cfg = timm_cfg(name)
    torch.manual_seed(0)
    whole = build_timm_backbone(cfg).eval()
    torch.manual_seed(0)
    pieces = build_backbone(cfg).eval()
    x = torch.randn(2, 3, 64, 32)
    with torch.no_grad():
        expected, found = whole(x), pieces(x)["stage4"]
    if expected.ndim == 3:
        expected = pieces.grid.to_map(expected)
    torch.testing.assert_close(found, expected)
    assert sum(p.numel() for p in pieces.parameters()) == sum(p.numel() for p in whole.parameters())
    assert pieces.sizes["stage4"] == tuple(found.shape[2:])
    assert sum(len(stage.blocks) for stage in pieces.stages.values()) >= 4


@pytest.mark.parametrize("name", ["test_convnext", "test_vit2"])
def test_timm_backbone_of_two_streams_learns_and_extracts(name: str) -> None:
    model = build_model(timm_cfg(name, "MODEL.STREAMS.COUNT", "2", "MODEL.ATTENTION.STAGE2", "['NonLocal']")).train()
    assert len(model.backbone.stem.copies) == 2
    sum(model(batch(4, 2)).values()).backward()
    assert not [key for key, p in model.named_parameters() if p.requires_grad and p.grad is None]
    features = model.eval()(batch(2, 1))
    assert features.shape == (4, model.backbone.channels["stage4"])
