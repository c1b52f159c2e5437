"""The cut pieces of every fast-reid backbone, in series, are the backbone."""

import pytest
import torch
from fastreid.modeling.backbones import build_backbone
from fastreid.modeling.backbones.build import BACKBONE_REGISTRY
from fastreid.modeling.meta_arch import build_model
from helpers import batch, small_cfg

from vireid_plugins.compat import patch
from vireid_plugins.errors import ConfigError
from vireid_plugins.modeling.backbones.adapters import ADAPTERS

DEPTHS = {
    "build_resnet_backbone": "18x",
    "build_resnext_backbone": "50x",
    "build_resnest_backbone": "50x",
    "build_osnet_backbone": "x0_25",
    "build_regnet_backbone": "200x",
    "build_effnet_backbone": "b0",
    "build_mobilenetv2_backbone": "0.1x",
    "build_shufflenetv2_backbone": "0.5x",
    "build_repvgg_backbone": "A0",
}


def overrides(name: str, streams: int = 1) -> list[str]:
    return ["MODEL.STREAMS.BACKBONE", name, "MODEL.BACKBONE.DEPTH", DEPTHS[name], "MODEL.STREAMS.COUNT", str(streams)]


def test_every_adapter_is_tried() -> None:
    assert set(ADAPTERS) == set(DEPTHS)


@pytest.mark.parametrize("name", DEPTHS)
def test_the_pieces_in_series_are_the_backbone(name: str) -> None:
    cfg = small_cfg("SYSU/one_stream.yml", *overrides(name))
    torch.manual_seed(0)
    patch(only=["package_files"])
    whole = BACKBONE_REGISTRY.get(name)(cfg).eval()
    torch.manual_seed(0)
    pieces = build_backbone(cfg).eval()
    x = torch.randn(2, 3, 64, 32)
    with torch.no_grad():
        torch.testing.assert_close(pieces(x)["stage4"], whole(x), rtol=1e-4, atol=1e-5)
    assert sum(p.numel() for p in pieces.parameters()) == sum(p.numel() for p in whole.parameters())


@pytest.mark.parametrize("name", DEPTHS)
def test_two_streams_with_attention_take_a_step_and_score(name: str) -> None:
    cfg = small_cfg(
        "SYSU/one_stream.yml",
        *overrides(name, 2),
        *[
            "MODEL.ATTENTION.STAGE2",
            "['NonLocal']",
            "MODEL.HEADS.NUM_CLASSES",
            "4",
            "MODEL.STREAMS.SEPARATE_STAGES",
            "1",
        ],
    )
    model = build_model(cfg).train()
    losses = model(batch(4, 2))
    sum(losses.values()).backward()
    assert not [key for key, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert torch.isfinite(model.eval()(batch(2, 1))).all()


@pytest.mark.parametrize("name", ["build_resnext_backbone", "build_osnet_backbone", "build_shufflenetv2_backbone"])
def test_a_depth_that_does_not_exist_is_one_error(name: str) -> None:
    cfg = small_cfg("SYSU/one_stream.yml", "MODEL.STREAMS.BACKBONE", name, "MODEL.BACKBONE.DEPTH", "18y")
    with pytest.raises(ConfigError, match=rf"MODEL\.BACKBONE\.DEPTH: {name} has no '18y'"):
        build_backbone(cfg)


def test_a_backbone_that_cannot_be_cut_names_those_that_can() -> None:
    with pytest.raises(ConfigError, match=r"'build_vit_backbone' does not exist; there are .*build_osnet_backbone"):
        build_backbone(small_cfg("SYSU/one_stream.yml", "MODEL.STREAMS.BACKBONE", "build_vit_backbone"))
