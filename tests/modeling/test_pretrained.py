"""Where a backbone's first weights come from, and the max-pool that follows."""

from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torch
from fastreid.modeling.backbones import build_backbone
from fastreid.modeling.backbones.build import BACKBONE_REGISTRY
from helpers import small_cfg
from torch import Tensor

from vireid_plugins.config import CfgNode
from vireid_plugins.errors import ConfigError


def cfg_of(*overrides: str) -> CfgNode:
    """One stream whose max-pool follows the weights."""
    return small_cfg("SYSU/one_stream.yml", "MODEL.STREAMS.MAX_POOL", "auto", *overrides)


def resnet(seed: int) -> dict[str, Tensor]:
    """The state dict of fast-reid's ResNet-18, whose names are torchvision's."""
    torch.manual_seed(seed)
    weights: dict[str, Tensor] = BACKBONE_REGISTRY.get("build_resnet_backbone")(cfg_of()).state_dict()
    return weights


def agw(weights: dict[str, Tensor], infrared: dict[str, Tensor]) -> dict[str, Any]:
    """A checkpoint as AGW's code writes it: whole networks for the stems, one for the shared stages."""
    modules = {"visible_module.visible": weights, "thermal_module.thermal": infrared, "base_resnet.base": weights}
    return {"net": {f"{prefix}.{n}": t for prefix, part in modules.items() for n, t in part.items()}, "epoch": 3}


def fast_reid(weights: dict[str, Tensor]) -> dict[str, Any]:
    """A checkpoint as fast-reid writes it."""
    return {"model": {f"backbone.{n}": t for n, t in weights.items()} | {"heads.weight": torch.ones(2)}, "epoch": 3}


FORMS = {
    "torchvision": (lambda w: {**w, "fc.weight": torch.ones(2)}, "torchvision"),
    "wrapped": (lambda w: {"state_dict": {f"module.{n}": t for n, t in w.items()}}, "torchvision"),
    "pycls": (lambda w: {"model_state": w}, "torchvision"),
    "fast-reid": (fast_reid, "fastreid"),
    "AGW": (lambda w: agw(w, w), "torchvision"),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_a_local_file_reaches_every_stream_and_decides_the_max_pool(tmp_path: Path, form: str) -> None:
    write, max_pool = FORMS[form]
    weights = resnet(seed=4)
    torch.save(write(weights), tmp_path / "weights.pth")
    given = ["MODEL.BACKBONE.PRETRAIN_PATH", str(tmp_path / "weights.pth"), "MODEL.STREAMS.COUNT", "2"]
    built = build_backbone(cfg_of("MODEL.BACKBONE.PRETRAIN", "True", *given))
    for copy in built.stem.copies:
        torch.testing.assert_close(copy.blocks[0].weight, weights["conv1.weight"])
        assert copy.blocks[3].padding == (1 if max_pool == "torchvision" else 0)
    torch.testing.assert_close(built.stages["stage4"].blocks[1].conv2.weight, weights["layer4.1.conv2.weight"])
    scored = build_backbone(cfg_of(*given))
    assert scored.stem.copies[0].blocks[3].padding == built.stem.copies[0].blocks[3].padding


@pytest.mark.parametrize("count", [1, 2, 4])
def test_an_agw_style_file_has_a_stem_for_each_modality(tmp_path: Path, count: int) -> None:
    visible, infrared = resnet(seed=1), resnet(seed=2)
    infrared["bn1.weight"] = infrared["bn1.weight"] + 1
    torch.save(agw(visible, infrared), tmp_path / "agw.t")
    given = ["MODEL.BACKBONE.PRETRAIN", "True", "MODEL.BACKBONE.PRETRAIN_PATH", str(tmp_path / "agw.t")]
    stems = build_backbone(cfg_of(*given, "MODEL.STREAMS.COUNT", str(count))).stem.copies
    for number, stem in enumerate(stems):
        source = visible if number < max(1, count // 2) else infrared
        torch.testing.assert_close(stem.blocks[0].weight, source["conv1.weight"])
        torch.testing.assert_close(stem.blocks[1].weight, source["bn1.weight"])


def test_without_weights_the_max_pool_is_torchvisions_and_a_choice_is_kept(tmp_path: Path) -> None:
    assert build_backbone(cfg_of()).stem.copies[0].blocks[3].padding == 1
    assert build_backbone(cfg_of("MODEL.STREAMS.MAX_POOL", "fastreid")).stem.copies[0].blocks[3].padding == 0


def test_a_file_that_is_gone_does_not_change_the_max_pool_silently() -> None:
    with pytest.raises(ConfigError, match=r"MAX_POOL: auto looks into .*'gone.pth', which does not exist"):
        build_backbone(cfg_of("MODEL.BACKBONE.PRETRAIN_PATH", "gone.pth"))


def test_a_file_of_another_network_is_refused(tmp_path: Path) -> None:
    torch.save({"conv.weight": torch.ones(2)}, tmp_path / "other.pth")
    with pytest.raises(ConfigError, match=r"no weight of '.*other\.pth' fits ResNet"):
        build_backbone(
            cfg_of("MODEL.BACKBONE.PRETRAIN", "True", "MODEL.BACKBONE.PRETRAIN_PATH", str(tmp_path / "other.pth"))
        )


def test_torchvisions_weights_come_from_torchvisions_address(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def served(url: str, **_: Any) -> dict[str, Tensor]:
        asked.append(url)
        return {**resnet(seed=3), "fc.weight": torch.ones(2)}

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", served)
    built = build_backbone(cfg_of("MODEL.BACKBONE.PRETRAIN", "True"))
    torch.testing.assert_close(built.stem.copies[0].blocks[0].weight, resnet(seed=3)["conv1.weight"])
    assert asked[0].startswith("https://download.pytorch.org/models/resnet18-")


def test_fast_reids_addresses_serve_the_other_backbones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unpatched: None
) -> None:
    from fastreid.modeling.backbones import resnet as module

    given = ["MODEL.BACKBONE.WITH_IBN", "True", "MODEL.BACKBONE.DEPTH", "18x"]
    torch.manual_seed(5)
    weights = BACKBONE_REGISTRY.get("build_resnet_backbone")(cfg_of(*given)).state_dict()
    torch.save(weights, tmp_path / "served.pth")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    monkeypatch.setitem(module.model_urls, "ibn_18x", (tmp_path / "served.pth").as_uri())
    built = build_backbone(cfg_of(*given, "MODEL.BACKBONE.PRETRAIN", "True"))
    torch.testing.assert_close(built.stem.copies[0].blocks[0].weight, weights["conv1.weight"])


def _offline(*_: object, **__: object) -> None:
    raise URLError("no network")


@pytest.mark.parametrize(
    ("backbone", "depth"),
    [
        ("build_resnet_backbone", "18x"),
        ("build_resnest_backbone", "50x"),
        ("build_effnet_backbone", "b0"),
        ("build_osnet_backbone", "x1_0"),
        ("build_mobilenetv2_backbone", "1.0x"),
        ("build_shufflenetv2_backbone", "1.0x"),
        ("build_repvgg_backbone", "A0"),
    ],
)
def test_without_a_network_the_way_out_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unpatched: None, backbone: str, depth: str
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", _offline)
    monkeypatch.setattr(torch.hub, "download_url_to_file", _offline)
    with pytest.raises(ConfigError, match=r"MODEL\.BACKBONE\.PRETRAIN.*PRETRAIN_PATH.*PRETRAIN False"):
        build_backbone(
            cfg_of("MODEL.BACKBONE.PRETRAIN", "True", "MODEL.STREAMS.BACKBONE", backbone, "MODEL.BACKBONE.DEPTH", depth)
        )
