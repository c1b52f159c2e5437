"""The cut pieces of every fast-reid backbone, in series, are the backbone."""

import pytest
import torch
from fastreid.modeling.backbones import build_backbone
from fastreid.modeling.backbones.build import BACKBONE_REGISTRY
from helpers import DEPTHS, small_cfg

from vireid_plugins.compat import patch
from vireid_plugins.errors import ConfigError
from vireid_plugins.modeling.backbones.adapters import ADAPTERS, BUILDERS


def overrides(name: str, streams: int = 1) -> list[str]:
    return ["MODEL.STREAMS.BACKBONE", name, "MODEL.BACKBONE.DEPTH", DEPTHS[name], "MODEL.STREAMS.COUNT", str(streams)]


def test_adapters_are_all_tried() -> None:
    # Those of timm in test_timm.
    assert set(ADAPTERS) == {*DEPTHS, "build_timm_backbone"}


@pytest.mark.parametrize("name", DEPTHS)
def test_adapters_pieces_in_series_are_the_backbone(name: str) -> None:
    cfg = small_cfg("SYSU/one_stream.yml", *overrides(name))
    torch.manual_seed(0)
    patch(only=["package_files"])
    whole = (BUILDERS.get(name) or BACKBONE_REGISTRY.get(name))(cfg).eval()
    torch.manual_seed(0)
    pieces = build_backbone(cfg).eval()
    x = torch.randn(2, 3, 64, 32)
    with torch.no_grad():
        torch.testing.assert_close(pieces(x)["stage4"], whole(x), rtol=1e-4, atol=1e-5)
    assert sum(p.numel() for p in pieces.parameters()) == sum(p.numel() for p in whole.parameters())


@pytest.mark.parametrize("name", ["build_resnext_backbone", "build_osnet_backbone", "build_shufflenetv2_backbone"])
def test_build_backbone_with_a_depth_that_does_not_exist_is_one_error(name: str) -> None:
    cfg = small_cfg("SYSU/one_stream.yml", "MODEL.STREAMS.BACKBONE", name, "MODEL.BACKBONE.DEPTH", "18y")
    with pytest.raises(ConfigError, match=rf"MODEL\.BACKBONE\.DEPTH: {name} has no '18y'"):
        build_backbone(cfg)


def test_build_backbone_of_one_that_cannot_be_cut_names_those_that_can() -> None:
    with pytest.raises(
        ConfigError, match=r"unknown value 'build_mobilenetv3_backbone'; available: .*build_osnet_backbone"
    ):
        build_backbone(small_cfg("SYSU/one_stream.yml", "MODEL.STREAMS.BACKBONE", "build_mobilenetv3_backbone"))
