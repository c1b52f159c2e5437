"""Networks of timm as backbones."""

import logging
import sys
from pathlib import Path

import pytest
import torch
from fastreid.config import CfgNode
from fastreid.modeling.backbones import build_backbone
from fastreid.modeling.meta_arch import build_model
from helpers import batch, small_cfg

from vireid_plugins.engine.checkpoint_fill import fit_model
from vireid_plugins.errors import ConfigError, InstallError
from vireid_plugins.layers.sync_batch_norm import synchronize_
from vireid_plugins.modeling.backbones.timm_models import build_timm_backbone
from vireid_plugins.modeling.backbones.tokens import Grid
from vireid_plugins.modeling.backbones.vit_weights import resize_positions

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


@pytest.mark.usefixtures("wide_resnet")
def test_timm_resnet_with_last_stride_1_is_fastreid_s(tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    network = timm.create_model("resnet18")
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        # Gains of 0 would hide the last blocks.
        for parameter in network.parameters():
            parameter.uniform_(-0.5, 0.5, generator=generator)
    torch.save(network.state_dict(), file)
    options = [
        *("MODEL.BACKBONE.LAST_STRIDE", "1", "MODEL.BACKBONE.WITH_NL", "False"),
        *("MODEL.BACKBONE.PRETRAIN", "True", "MODEL.BACKBONE.PRETRAIN_PATH", str(file)),
    ]
    ours = build_backbone(timm_cfg("resnet18", *options)).eval()
    theirs = build_backbone(small_cfg("SYSU/one_stream.yml", *options, "MODEL.STREAMS.MAX_POOL", "torchvision")).eval()
    x = torch.randn(2, 3, 64, 32, generator=generator)
    with torch.no_grad():
        for name in ("stage1", "stage4"):
            a, b = (network(x, maps=(name,))[name] for network in (ours, theirs))
            torch.testing.assert_close(a, b)


def test_timm_backbone_without_a_form_of_last_stride_1_warns(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        build_timm_backbone(timm_cfg("test_mambaout"))
    assert "MODEL.BACKBONE.LAST_STRIDE: 1 has no effect on test_mambaout" in caplog.text


@pytest.mark.parametrize(("name", "suffix"), [("test_vit", "pth"), ("test_vit3", "safetensors")])
def test_timm_weights_of_another_size_load_as_timm_loads_them(
    name: str, suffix: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / f"weights.{suffix}"
    torch.manual_seed(1)
    trained = timm.create_model(name, num_classes=7, img_size=96).state_dict()
    if suffix == "pth":
        torch.save(trained, file)
    else:
        from safetensors.torch import save_file

        save_file(trained, file)
    options = ("MODEL.BACKBONE.PRETRAIN", "True", "MODEL.BACKBONE.PRETRAIN_PATH", str(file))
    with caplog.at_level(logging.WARNING):
        pieces = build_backbone(timm_cfg(name, *options)).eval()
    # Trained with a mean of 0.5, which the configuration does not have.
    assert "MODEL.PIXEL_MEAN: timm's weights of" in caplog.text
    whole = timm.create_model(
        name,
        img_size=(64, 32),
        num_classes=0,
        global_pool="",
        pretrained=True,
        pretrained_cfg_overlay={"file": str(file), "num_classes": 7},
    ).eval()
    x = torch.randn(2, 3, 64, 32)
    with torch.no_grad():
        torch.testing.assert_close(pieces(x)["stage4"], pieces.grid.to_map(whole(x)))


def test_timm_checkpoint_of_another_size_is_resized(tmp_path: Path) -> None:
    large = build_model(timm_cfg("test_vit", "INPUT.SIZE_TRAIN", "[96, 48]", "INPUT.SIZE_TEST", "[96, 48]"))
    small = build_model(timm_cfg("test_vit"))
    positions = next(name for name in large.state_dict() if name.endswith("pos_embed"))
    result = fit_model(small, tmp_path / "model.pth", large.state_dict())
    assert not result.unfilled
    torch.testing.assert_close(
        result.fitting[positions],
        resize_positions(large.state_dict()[positions], Grid(6, 3), Grid(4, 2)),
    )


def test_timm_recomputed_stages_have_the_same_statistics_and_gradients() -> None:
    found = []
    for recompute in ("False", "True"):
        torch.manual_seed(0)
        model = build_model(timm_cfg("test_efficientnet", "MODEL.CHECKPOINT_STAGES", recompute)).train()
        sum(model(batch(4, 2)).values()).backward()
        found.append({**model.state_dict(), **{f"{key} gradient": p.grad for key, p in model.named_parameters()}})
    torch.testing.assert_close(*found, rtol=0, atol=0)


def test_synchronize_of_norms_with_an_activation_is_one_error() -> None:
    with pytest.raises(
        ConfigError, match=r"MODEL\.SYNC_BN: set it to False, because a BatchNormAct2d cannot be synchronized"
    ):
        synchronize_(build_timm_backbone(timm_cfg("test_efficientnet")))


def test_timm_backbone_without_values_cannot_be_cut() -> None:
    with torch.device("meta"), pytest.raises(NotImplementedError):
        build_backbone(timm_cfg("test_efficientnet"))


def test_timm_that_is_missing_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(InstallError, match="build_timm_backbone needs timm"):
        build_backbone(timm_cfg("test_resnet"))


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("resnet51", [], r"MODEL\.TIMM\.NAME: timm .* has no network 'resnet51', but .*timm\.list_models\(\)"),
        ("", [], r"MODEL\.TIMM\.NAME: build_timm_backbone needs the name of a network, such as"),
        ("resnet18.mine", [], r"MODEL\.TIMM\.NAME: resnet18\.mine: .*mine"),
        ("hrnet_w18_small", [], r"MODEL\.TIMM\.NAME: hrnet_w18_small .* cannot be cut into a stem and four stages"),
        ("test_resnet", ["MODEL.TIMM.DROP_PATH", "1.0"], r"MODEL\.TIMM\.DROP_PATH: must be at least 0 and below 1"),
        ("vgg11", ["MODEL.TIMM.DROP_PATH", "0.1"], r"MODEL\.TIMM\.NAME: timm cannot build vgg11 with .*drop_path_rate"),
        ("test_vit", ["INPUT.SIZE_TEST", "[96, 48]"], r"INPUT\.SIZE_TEST: must equal INPUT\.SIZE_TRAIN \[64, 32\]"),
        (
            "test_vit",
            ["INPUT.SIZE_TRAIN", "[64, 40]", "INPUT.SIZE_TEST", "[64, 40]"],
            r"INPUT\.SIZE_TRAIN: test_vit has patches of 16 x 16 pixels .* \[64, 40\]; \[64, 32\] fits",
        ),
        ("test_vit_relpos", ["MODEL.STREAMS.TOKENS", "class"], r"MODEL\.STREAMS\.TOKENS: .* has no class token"),
        ("test_vit", ["MODEL.BACKBONE.PRETRAIN", "True"], r"MODEL\.BACKBONE\.PRETRAIN: nothing is downloaded"),
        ("test_vit", ["MODEL.BACKBONE.NAME", "build_timm_backbone"], r"MODEL\.BACKBONE\.NAME: build_timm_backbone is"),
    ],
    ids=lambda value: value if isinstance(value, str) and value.startswith(("test", "res")) else "",
)
def test_timm_backbone_that_cannot_be_built_is_one_error(name: str, overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_backbone(timm_cfg(name, *overrides))
