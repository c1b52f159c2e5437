"""Models and weights: the trouble without the patch, its absence with it."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from fastreid.config import get_cfg
from fastreid.modeling.backbones.build import BACKBONE_REGISTRY
from fastreid.modeling.losses import triplet_loss
from fastreid.modeling.meta_arch.baseline import Baseline
from torch import nn

from vireid_plugins.compat import patch
from vireid_plugins.errors import ConfigError

pytestmark = pytest.mark.usefixtures("unpatched")


def _baseline() -> Any:
    model = Baseline(
        backbone=nn.Identity(),
        heads=nn.Identity(),
        pixel_mean=[100.0, 100, 100],
        pixel_std=[50.0, 50, 50],
    )
    return model.eval()


def test_flip_normalises_once() -> None:
    images = torch.full((1, 3, 2, 2), 150.0)
    _baseline()({"images": images})
    assert images.unique().tolist() == [1.0]
    patch(only=["flip"])
    images = torch.full((1, 3, 2, 2), 150.0)
    features = _baseline()({"images": images})
    assert images.unique().tolist() == [150.0]
    assert features.unique().tolist() == [1.0]
    assert _baseline()(images).unique().tolist() == [1.0]
    assert images.unique().tolist() == [150.0]


def test_float32_distances_under_autocast_are_right() -> None:
    x = torch.randn(16, 512) + 3
    y = torch.arange(8).repeat_interleave(2)
    true = triplet_loss(x, y, 0.3, False, True)
    with torch.autocast("cpu", torch.bfloat16):
        assert abs(triplet_loss(x, y, 0.3, False, True) - true) > 0.01
        patch(only=["float32_distances"])
        torch.testing.assert_close(triplet_loss(x, y, 0.3, False, True), true)


def test_float32_distances_leaves_float64_alone() -> None:
    x = (torch.randn(16, 512) + 3).double()
    y = torch.arange(8).repeat_interleave(2)
    true = triplet_loss(x, y, 0.3, False, True)
    patch(only=["float32_distances"])
    found = triplet_loss(x, y, 0.3, False, True)
    assert found.dtype == torch.float64
    assert torch.equal(found, true)


@pytest.mark.parametrize(("builder", "depth"), [("build_regnet_backbone", "800y"), ("build_effnet_backbone", "b0")])
def test_package_files_are_found_from_another_folder(
    builder: str, depth: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cfg = get_cfg()
    cfg.MODEL.BACKBONE.DEPTH = depth
    cfg.MODEL.BACKBONE.PRETRAIN = False
    with pytest.raises(FileNotFoundError):
        BACKBONE_REGISTRY.get(builder)(cfg)
    patch(only=["package_files"])
    assert BACKBONE_REGISTRY.get(builder)(cfg)(torch.zeros(2, 3, 64, 32)).shape[1] > 3


@pytest.fixture
def _no_gdown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.delitem(sys.modules, "gdown", raising=False)


@pytest.mark.usefixtures("_no_gdown")
def test_pretrain_without_gdown_fetches_or_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fastreid.modeling.backbones import resnet

    cfg = get_cfg()
    cfg.MODEL.BACKBONE.DEPTH = "18x"
    cfg.MODEL.BACKBONE.PRETRAIN = True
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    with pytest.raises(ModuleNotFoundError, match="gdown"):
        BACKBONE_REGISTRY.get("build_resnet_backbone")(cfg)
    weights = tmp_path / "served.pth"
    torch.save({"conv1.weight": torch.full((64, 3, 7, 7), 0.5)}, weights)
    patch(only=["pretrain"])
    monkeypatch.setitem(resnet.model_urls, "18x", weights.as_uri())
    assert BACKBONE_REGISTRY.get("build_resnet_backbone")(cfg).conv1.weight.unique().tolist() == [0.5]
    monkeypatch.setitem(resnet.model_urls, "18x", (tmp_path / "absent.pth").as_uri())
    with pytest.raises(ConfigError, match=r"absent\.pth cannot be fetched.*PRETRAIN_PATH"):
        BACKBONE_REGISTRY.get("build_resnet_backbone")(cfg)
    monkeypatch.setitem(resnet.model_urls, "18x", "https://drive.google.com/uc?id=1")
    with pytest.raises(ConfigError, match="pip install gdown"):
        BACKBONE_REGISTRY.get("build_resnet_backbone")(cfg)
