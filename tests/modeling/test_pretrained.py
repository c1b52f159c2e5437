"""Where a backbone's first weights come from, and the max-pool that follows."""

import logging
import re
from collections.abc import Callable
from http.client import IncompleteRead
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torch
from desk import Evil
from fastreid.modeling.backbones import build_backbone
from fastreid.modeling.backbones.build import BACKBONE_REGISTRY
from fastreid.modeling.meta_arch import build_model
from helpers import often, small_cfg
from torch import Tensor, nn
from torchvision.models import ResNet18_Weights

from vireid_plugins.compat import patch
from vireid_plugins.config import CfgNode
from vireid_plugins.errors import ConfigError, DataError
from vireid_plugins.io import weight_file

RESNET18 = ResNet18_Weights.IMAGENET1K_V1.url


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
def test_pretrained_local_file_reaches_every_stream_and_decides_the_max_pool(tmp_path: Path, form: str) -> None:
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
def test_pretrained_agw_style_file_has_a_stem_for_each_modality(tmp_path: Path, count: int) -> None:
    visible, infrared = resnet(seed=1), resnet(seed=2)
    infrared["bn1.weight"] = infrared["bn1.weight"] + 1
    torch.save(agw(visible, infrared), tmp_path / "agw.t")
    given = ["MODEL.BACKBONE.PRETRAIN", "True", "MODEL.BACKBONE.PRETRAIN_PATH", str(tmp_path / "agw.t")]
    stems = build_backbone(cfg_of(*given, "MODEL.STREAMS.COUNT", str(count))).stem.copies
    for number, stem in enumerate(stems):
        source = visible if number < max(1, count // 2) else infrared
        torch.testing.assert_close(stem.blocks[0].weight, source["conv1.weight"])
        torch.testing.assert_close(stem.blocks[1].weight, source["bn1.weight"])


def test_max_pool_of_no_weights_is_torchvisions_and_a_choice_is_kept(tmp_path: Path) -> None:
    assert build_backbone(cfg_of()).stem.copies[0].blocks[3].padding == 1
    assert build_backbone(cfg_of("MODEL.STREAMS.MAX_POOL", "fastreid")).stem.copies[0].blocks[3].padding == 0


def test_max_pool_of_a_file_that_is_gone_is_one_error() -> None:
    with pytest.raises(ConfigError, match=r"MAX_POOL: auto depends on .*'gone.pth', which does not exist"):
        build_backbone(cfg_of("MODEL.BACKBONE.PRETRAIN_PATH", "gone.pth"))


def test_pretrained_file_of_another_network_is_one_error(tmp_path: Path) -> None:
    torch.save({"conv.weight": torch.ones(2)}, tmp_path / "other.pth")
    given = ["MODEL.BACKBONE.PRETRAIN", "True", "MODEL.BACKBONE.PRETRAIN_PATH", str(tmp_path / "other.pth")]
    for partial in ("False", "True"):
        with pytest.raises(ConfigError, match=r"no weight of '.*other\.pth' for build_resnet_backbone .*conv\.weight"):
            build_backbone(cfg_of(*given, "MODEL.BACKBONE.PRETRAIN_PARTIAL", partial))


def without(*starts: str) -> dict[str, Tensor]:
    """ResNet-18's weights but for those whose names begin so."""
    return {name: value for name, value in resnet(seed=6).items() if not name.startswith(starts)}


def of(builder: str, *overrides: str) -> dict[str, Tensor]:
    """The state dict of another backbone of fast-reid's."""
    weights: dict[str, Tensor] = BACKBONE_REGISTRY.get(builder)(cfg_of(*overrides)).state_dict()
    return weights


# What a file holds, the overrides it is read with, and what its error says besides the way out.
PARTIAL: dict[str, tuple[Callable[[], dict[str, Any]], list[str], str]] = {
    "a statistic is missing": (
        lambda: without("layer2.0.bn1.running_var"),
        [],
        r"119 of 120 tensors fit; 1 are missing: layer2\.0\.bn1\.running_var\.",
    ),
    "a shape differs": (
        lambda: resnet(seed=6) | {"conv1.weight": torch.ones(64, 1, 7, 7)},
        [],
        r"119 of 120 tensors fit; 1 have another shape, the first: conv1\.weight, \(64, 1, 7, 7\) in the file and "
        r"\(64, 3, 7, 7\) here",
    ),
    "deeper": (
        lambda: of("build_resnet_backbone", "MODEL.BACKBONE.DEPTH", "34x"),
        [],
        r"18x \(MODEL\.BACKBONE\.DEPTH\): 120 of 120 tensors fit; 96 in the file have no counterpart: "
        r"layer1\.2\.conv1\.",
    ),
    "shallower": (
        lambda: resnet(seed=6),
        ["MODEL.BACKBONE.DEPTH", "34x"],
        r"120 of 216 tensors fit; 80 are missing: layer1\.2\.conv1\.weight",
    ),
    "with bottlenecks": (
        lambda: of("build_resnet_backbone", "MODEL.BACKBONE.DEPTH", "50x"),
        [],
        r"97 of 120 tensors fit; 23 have another shape, the first: layer1\.0\.conv1\.weight, \(64, 64, 1, 1\)",
    ),
    "with IBN": (
        lambda: of("build_resnet_backbone", "MODEL.BACKBONE.WITH_IBN", "True"),
        [],
        r"missing: layer1\.0\.bn1\.weight.*counterpart: layer1\.0\.bn1\.IN\.weight"
        r".*with MODEL\.BACKBONE\.WITH_IBN True",
    ),
    "without IBN": (
        lambda: resnet(seed=6),
        ["MODEL.BACKBONE.WITH_IBN", "True"],
        r"missing: layer1\.0\.bn1\.IN\.weight.*with MODEL\.BACKBONE\.WITH_IBN False",
    ),
    "AGW's visible stem": (
        lambda: agw(without("bn1."), resnet(seed=2)),
        ["MODEL.STREAMS.COUNT", "2"],
        r"115 of 120 tensors fit; 4 are missing: bn1\.weight",
    ),
    "AGW's infrared stem": (
        lambda: agw(resnet(seed=1), without("bn1.")),
        ["MODEL.STREAMS.COUNT", "2"],
        r"the infrared stem in '.*' \(thermal_module\.thermal\.\): 1 of 6 tensors fit; 4 are missing: bn1\.weight",
    ),
    "MobileNetV2 without its last layer": (
        lambda: {n: t for n, t in mobilenet("1.0x").items() if not n.startswith("features.18")},
        ["MODEL.STREAMS.BACKBONE", "build_mobilenetv2_backbone", "MODEL.BACKBONE.DEPTH", "1.0x"],
        r"306 of 312 tensors fit; 5 are missing: conv\.0\.weight",
    ),
    "MobileNetV2 whose last layer has another name": (
        lambda: {n.replace("features.18", "last"): t for n, t in mobilenet("1.0x").items()},
        ["MODEL.STREAMS.BACKBONE", "build_mobilenetv2_backbone", "MODEL.BACKBONE.DEPTH", "1.0x"],
        r"306 of 312 tensors fit; 5 are missing: conv\.0\.weight.*; 6 in the file have no counterpart: last\.0\.weight",
    ),
    "numbers of another kind": (
        lambda: resnet(seed=6) | {"conv1.weight": torch.ones(64, 3, 7, 7, dtype=torch.int8)},
        [],
        r"119 of 120 tensors fit; 1 have another type, the first: conv1\.weight, int8 in the file and float32 here",
    ),
    "a wider MobileNetV2, by the file's names": (
        lambda: {**mobilenet("1.0x"), "features.18.0.bias": torch.ones(1280)},
        ["MODEL.STREAMS.BACKBONE", "build_mobilenetv2_backbone", "MODEL.BACKBONE.DEPTH", "1.0x"],
        r"312 of 312 tensors fit; 1 in the file have no counterpart: features\.18\.0\.bias\.",
    ),
}  # fmt: skip


@pytest.mark.usefixtures("wide_resnet")
@pytest.mark.parametrize(
    "case",
    often(PARTIAL, "a statistic is missing", "deeper", "with IBN", "AGW's infrared stem", "numbers of another kind"),
)
def test_pretrained_partial_fill_is_one_error_unless_asked_for(
    tmp_path: Path, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    content, overrides, message = PARTIAL[case]
    torch.save(content(), tmp_path / "weights.pth")
    given = ["MODEL.BACKBONE.PRETRAIN", "True", "MODEL.BACKBONE.PRETRAIN_PATH", str(tmp_path / "weights.pth")]
    with pytest.raises(ConfigError, match=rf"MODEL\.BACKBONE\.PRETRAIN_PATH: .*{message}") as raised:
        build_backbone(cfg_of(*given, *overrides))
    assert "accept a partial fill with MODEL.BACKBONE.PRETRAIN_PARTIAL True" in str(raised.value)
    assert "weights.pth" in str(raised.value)
    # fast-reid's loggers do not propagate once they are set up.
    logging.getLogger("fastreid").addHandler(caplog.handler)
    build_backbone(cfg_of(*given, *overrides, "MODEL.BACKBONE.PRETRAIN_PARTIAL", "True"))
    logging.getLogger("fastreid").removeHandler(caplog.handler)
    warned = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert any(re.search(message.removesuffix(r"\."), text) for text in warned)


def test_pretrained_partial_fill_keeps_what_fits(tmp_path: Path) -> None:
    weights = without("layer4.")
    torch.save(weights, tmp_path / "weights.pth")
    given = ["MODEL.BACKBONE.PRETRAIN", "True", "MODEL.BACKBONE.PRETRAIN_PATH", str(tmp_path / "weights.pth")]
    built = build_backbone(cfg_of(*given, "MODEL.BACKBONE.PRETRAIN_PARTIAL", "True"))
    torch.testing.assert_close(built.stages["stage3"].blocks[1].conv2.weight, weights["layer3.1.conv2.weight"])
    drawn = built.stages["stage4"].blocks[1].conv2.weight
    assert drawn.std() > 0
    assert not torch.equal(drawn, resnet(seed=6)["layer4.1.conv2.weight"])


def test_pretrained_without_counters_or_non_local_but_a_classifier_is_taken(tmp_path: Path) -> None:
    weights = of("build_resnet_backbone", "MODEL.BACKBONE.DEPTH", "50x")
    older = {name: value for name, value in weights.items() if not name.endswith("num_batches_tracked")}
    torch.save({**older, "fc.weight": torch.ones(1000, 2048)}, tmp_path / "weights.pth")
    given = ["MODEL.BACKBONE.PRETRAIN", "True", "MODEL.BACKBONE.PRETRAIN_PATH", str(tmp_path / "weights.pth")]
    built = build_backbone(cfg_of(*given, "MODEL.BACKBONE.DEPTH", "50x", "MODEL.BACKBONE.WITH_NL", "True"))
    torch.testing.assert_close(built.stem.copies[0].blocks[0].weight, weights["conv1.weight"])


def mobilenet(depth: str) -> dict[str, Tensor]:
    """torchvision's MobileNetV2 with drawn weights and statistics."""
    from torchvision.models import mobilenet_v2

    torch.manual_seed(7)
    network = mobilenet_v2(width_mult=float(depth.rstrip("x")))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.running_var, module.weight.data):
                tensor.uniform_(0.5, 1.5)
            for tensor in (module.running_mean, module.bias.data):
                tensor.normal_(std=0.1)
    weights: dict[str, Tensor] = network.state_dict()
    return weights


def unnested(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same weights by the names of the code that fast-reid's network is from: layers are counted through."""
    numbers = {"1": ["0", "1", "3", "4"]}
    found: dict[str, Tensor] = {}
    seen: dict[str, list[str]] = {}
    for name, value in weights.items():
        parts = name.split(".")
        if parts[2] == "conv" and parts[0] == "features":
            layers = seen.setdefault(parts[1], [])
            layer = ".".join(parts[3:-1])
            layers += [layer] if layer not in layers else []
            place = numbers.get(parts[1], ["0", "1", "3", "4", "6", "7"])[layers.index(layer)]
            name = ".".join([*parts[:3], place, parts[-1]])
        found[name] = value
    return found


@pytest.mark.parametrize("depth", ["1.0x", "0.25x"])
@pytest.mark.parametrize("names", ["torchvision", "original"])
def test_rename_mobilenetv2_of_either_naming_fills_and_computes_the_same(
    tmp_path: Path, depth: str, names: str
) -> None:
    from torchvision.models import mobilenet_v2

    weights = mobilenet(depth)
    torch.save(weights if names == "torchvision" else unnested(weights), tmp_path / "weights.pth")
    cfg = cfg_of(
        *("MODEL.STREAMS.BACKBONE", "build_mobilenetv2_backbone", "MODEL.BACKBONE.DEPTH", depth),
        *("MODEL.BACKBONE.PRETRAIN", "True", "MODEL.BACKBONE.PRETRAIN_PATH", str(tmp_path / "weights.pth")),
    )
    theirs = mobilenet_v2(width_mult=float(depth.rstrip("x")))
    theirs.load_state_dict(weights)
    images = torch.randn(2, 3, 64, 32)
    with torch.no_grad():
        expected = theirs.features.eval()(images)
        found = build_backbone(cfg).eval()(images)["stage4"]
    assert expected.std() > 0.01
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def _offline(*_: object, **__: object) -> None:
    raise URLError("no network")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder where torch hub keeps its downloads; it is empty, and nothing can be downloaded."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", _offline)
    folder = tmp_path / "home" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def test_pretrained_torchvision_weights_come_from_torchvisions_address_and_are_kept(
    hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []
    weights = {**resnet(seed=3), "fc.weight": torch.ones(2)}
    name = RESNET18.rpartition("/")[2]
    digest = name.removeprefix("resnet18-").removesuffix(".pth")

    def served(url: str, file: str, digest: str, **_: Any) -> None:
        asked.append((url, digest))
        torch.save(weights, file)

    monkeypatch.setattr(torch.hub, "download_url_to_file", served)
    monkeypatch.setattr(weight_file, "sha256_of", lambda file: asked.append((file.name, "")) or digest)
    for _ in range(2):
        built = build_backbone(cfg_of("MODEL.BACKBONE.PRETRAIN", "True"))
        torch.testing.assert_close(built.stem.copies[0].blocks[0].weight, weights["conv1.weight"])
    assert asked == [(RESNET18, digest), (name, ""), (name, "")]


# What torch hub's folder may hold under a right name, and what the message says of it.
IN_THE_CACHE: dict[str, tuple[Callable[[Path], object], str]] = {
    "torn": (lambda file: file.write_bytes(bytes(1000)), "it is torn, damaged or no file of torch.save"),
    "an object": (lambda file: torch.save({"note": Evil()}, file), "it holds something that is no tensor"),
    "empty": (lambda file: file.write_bytes(b""), "it is empty"),
    "a web page": (lambda file: file.write_text("<html>Please log in</html>"), "it is a web page"),
    "other weights": (lambda file: torch.save(resnet(seed=3), file), "its SHA-256 starts with"),
    "a link to nothing": (lambda file: file.symlink_to("nowhere"), "it is a link to 'nowhere'"),
    "a folder": (lambda file: file.mkdir(), "it is a folder"),
}  # fmt: skip


@pytest.mark.parametrize("case", IN_THE_CACHE)
def test_pretrained_broken_file_in_the_cache_is_named_and_left_as_it_is(hub: Path, case: str) -> None:
    put, message = IN_THE_CACHE[case]
    file = hub / RESNET18.rpartition("/")[2]
    put(file)
    before = file.lstat()[:6], file.lstat().st_mtime_ns
    with pytest.raises(
        DataError, match=rf"PRETRAIN: '{file}' cannot be loaded as weights: {message}.* Delete it to download it again"
    ):
        build_backbone(cfg_of("MODEL.BACKBONE.PRETRAIN", "True"))
    assert (file.lstat()[:6], file.lstat().st_mtime_ns) == before


def test_pretrained_object_in_fast_reids_cache_is_one_error_and_runs_nothing(
    hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unpatched: None
) -> None:
    """Its builders open their own cache with torch.load, or ask torch hub."""
    monkeypatch.chdir(tmp_path)
    own = hub.parent.parent / "checkpoints"
    own.mkdir()
    for folder, given, name in (
        (own, ["MODEL.BACKBONE.WITH_IBN", "True"], "resnet18_ibn_a-2f571257.pth"),
        (hub, ["MODEL.STREAMS.BACKBONE", "build_resnest_backbone", "MODEL.BACKBONE.DEPTH", "50x"], "resnest50-0.pth"),
    ):
        torch.save({"conv1.weight": torch.zeros(1), "note": Evil()}, folder / name)
        from fastreid.modeling.backbones import resnest, resnet

        monkeypatch.setitem(resnet.model_urls, "ibn_18x", f"https://x.example/{name}")
        monkeypatch.setitem(resnest.model_urls, "resnest50", f"https://x.example/{name}")
        with pytest.raises(DataError, match=rf"{folder / name}' cannot be loaded .* it holds something that is no ten"):
            build_backbone(cfg_of(*given, "MODEL.BACKBONE.PRETRAIN", "True"))
    assert not (tmp_path / "ran").exists()


def test_pretrained_download_that_breaks_off_is_one_error(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for error in (IncompleteRead(b""), RuntimeError("invalid hash value"), TimeoutError("timed out")):

        def broken(*_: object, error: Exception = error, **__: object) -> None:
            raise error

        monkeypatch.setattr(torch.hub, "download_url_to_file", broken)
        with pytest.raises(ConfigError, match=r"MODEL\.BACKBONE\.PRETRAIN: cannot download https://.*PRETRAIN False"):
            build_backbone(cfg_of("MODEL.BACKBONE.PRETRAIN", "True"))


def test_pretrained_file_with_torchvisions_name_and_other_content_is_one_error(tmp_path: Path) -> None:
    file = tmp_path / RESNET18.rpartition("/")[2]
    torch.save(resnet(seed=3), file)
    given = ["MODEL.BACKBONE.PRETRAIN", "True", "MODEL.BACKBONE.PRETRAIN_PATH"]
    with pytest.raises(DataError, match=r"PRETRAIN_PATH: '.*' cannot .* its SHA-256 starts with .* damaged or another"):
        build_backbone(cfg_of(*given, str(file)))
    file.rename(tmp_path / "mine-20261128.pth")
    assert build_backbone(cfg_of(*given, str(tmp_path / "mine-20261128.pth"))) is not None


@pytest.mark.usefixtures("wide_resnet")
@pytest.mark.parametrize("value", [float("nan"), float("-inf"), 1e300])
def test_pretrained_file_with_weights_that_are_not_finite_is_one_error_whatever_is_asked_for(
    tmp_path: Path, value: float
) -> None:
    weights = resnet(seed=3)
    weights["layer1.0.conv1.weight"] = weights["layer1.0.conv1.weight"].double()
    weights["layer1.0.conv1.weight"][0, 0, 0, 0] = value
    torch.save(weights, tmp_path / "weights.pth")
    given = ["MODEL.BACKBONE.PRETRAIN", "True", "MODEL.BACKBONE.PRETRAIN_PATH", str(tmp_path / "weights.pth")]
    with pytest.raises(
        DataError, match=r"weights\.pth' has weights that are infinite or NaN, 1 of 120 tensors: layer1"
    ):
        build_backbone(cfg_of(*given, "MODEL.BACKBONE.PRETRAIN_PARTIAL", "True"))


@pytest.mark.parametrize("count", ["1", "2"])
def test_pretrained_from_a_checkpoint_of_this_package_says_which_key_takes_it(tmp_path: Path, count: str) -> None:
    cfg = cfg_of("MODEL.HEADS.NUM_CLASSES", "3", "MODEL.STREAMS.COUNT", count)
    torch.save({"model": build_model(cfg).state_dict(), "epoch": 0}, tmp_path / "own.pth")
    given = ["MODEL.BACKBONE.PRETRAIN", "True", "MODEL.BACKBONE.PRETRAIN_PATH", str(tmp_path / "own.pth")]
    with pytest.raises(ConfigError, match=r"own\.pth'.* it is a checkpoint of this package: set MODEL\.WEIGHTS to it"):
        build_backbone(cfg_of(*given, "MODEL.BACKBONE.PRETRAIN_PARTIAL", "True"))


def test_pretrained_other_backbones_come_from_fast_reids_addresses(
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


def test_pretrained_address_that_serves_another_network_is_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unpatched: None
) -> None:
    """Its address of RegNetX-800MF is that of RegNetX-200MF."""
    from fastreid.modeling.backbones.regnet import regnet as module

    patch(only=["package_files"])
    given = ["MODEL.STREAMS.BACKBONE", "build_regnet_backbone", "MODEL.BACKBONE.DEPTH"]
    weights = of("build_regnet_backbone", "MODEL.BACKBONE.DEPTH", "200x")
    torch.save({"model_state": {**weights, "head.fc.weight": torch.ones(2)}}, tmp_path / "served.pyth")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    monkeypatch.setitem(module.model_urls, "800x", (tmp_path / "served.pyth").as_uri())
    monkeypatch.setitem(module.model_urls, "200x", (tmp_path / "served.pyth").as_uri())
    load = torch.load
    with pytest.raises(ConfigError, match=r"MODEL\.BACKBONE\.PRETRAIN: .*build_regnet_backbone .*800x .* tensors fit"):
        build_backbone(cfg_of(*given, "800x", "MODEL.BACKBONE.PRETRAIN", "True"))
    built = build_backbone(cfg_of(*given, "200x", "MODEL.BACKBONE.PRETRAIN", "True"))
    torch.testing.assert_close(built.stem.copies[0].blocks[0].conv.weight, weights["stem.conv.weight"])
    assert torch.load is load


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
def test_pretrained_without_a_network_is_one_error_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unpatched: None, backbone: str, depth: str
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", _offline)
    monkeypatch.setattr(torch.hub, "download_url_to_file", _offline)
    with pytest.raises(ConfigError, match=r"MODEL\.BACKBONE\.PRETRAIN.*PRETRAIN_PATH.*PRETRAIN False"):
        build_backbone(
            cfg_of("MODEL.BACKBONE.PRETRAIN", "True", "MODEL.STREAMS.BACKBONE", backbone, "MODEL.BACKBONE.DEPTH", depth)
        )
