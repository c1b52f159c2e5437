import pytest
import torch
from fastreid.modeling.backbones import build_backbone
from helpers import DEPTHS, small_cfg

from vireid_plugins.config import CfgNode
from vireid_plugins.errors import UserError
from vireid_plugins.modeling.backbones import build_multi_stream_backbone

MAPS = ("stem", "stage1", "stage2", "stage3", "stage4")


def cfg_of(*overrides: str) -> CfgNode:
    return small_cfg("SYSU/one_stream.yml", *overrides)


def stock(cfg: CfgNode) -> torch.nn.Module:
    cfg = cfg.clone()
    cfg.MODEL.BACKBONE.NAME = "build_resnet_backbone"
    torch.manual_seed(0)
    return build_backbone(cfg)


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["MODEL.BACKBONE.DEPTH", "50x", "MODEL.BACKBONE.WITH_NL", "True"],
        ["MODEL.BACKBONE.WITH_IBN", "True", "MODEL.BACKBONE.WITH_SE", "True"],
    ],
)
def test_build_backbone_of_one_stream_is_fastreids_own_network(overrides: list[str]) -> None:
    cfg = cfg_of(*overrides)
    expected = stock(cfg).eval()
    torch.manual_seed(0)
    backbone = build_backbone(cfg).eval()
    images = torch.randn(2, 3, 64, 32)
    torch.testing.assert_close(backbone(images)["stage4"], expected(images))
    assert sum(p.numel() for p in backbone.parameters()) == sum(p.numel() for p in expected.parameters())


@pytest.mark.parametrize(("count", "separate"), [(1, 0), (2, 0), (2, 1), (2, 4), (4, 0), (4, 2)])
def test_build_backbone_copies_only_stem_and_separate_stages(count: int, separate: int) -> None:
    cfg = cfg_of("MODEL.STREAMS.COUNT", str(count), "MODEL.STREAMS.SEPARATE_STAGES", str(separate))
    plain = build_multi_stream_backbone(cfg_of())
    sizes = [sum(p.numel() for p in part.parameters()) for part in (plain.stem, *plain.stages.values())]
    backbone = build_backbone(cfg)
    expected = sum(sizes) + (count - 1) * sum(sizes[: separate + 1])
    assert sum(p.numel() for p in backbone.parameters()) == expected


def test_multi_stream_backbone_of_two_equal_streams_computes_what_one_does() -> None:
    torch.manual_seed(0)
    one = build_backbone(cfg_of()).eval()
    torch.manual_seed(0)
    two = build_backbone(cfg_of("MODEL.STREAMS.COUNT", "2")).eval()
    images, modalities = torch.randn(5, 3, 64, 32), torch.tensor([1, 0, 1, 0, 0])
    torch.testing.assert_close(two(images, modalities)["stage4"], one(images)["stage4"])
    torch.testing.assert_close(two(images[:1], modalities[:1])["stage4"], one(images[:1])["stage4"])
    two.stem.copies[1].blocks[0].weight.data.zero_()
    changed = two(images, modalities)["stage4"] - one(images)["stage4"]
    assert (changed.flatten(1).abs().amax(1) > 0).tolist() == [True, False, True, False, False]


def test_multi_stream_backbone_runs_nothing_beyond_the_maps_asked_for() -> None:
    backbone = build_backbone(cfg_of()).eval()
    backbone.stages["stage3"].register_forward_hook(lambda *_: pytest.fail("stage3 was not asked for"))
    maps = backbone(torch.randn(1, 3, 64, 32), maps=("stem", "stage2"))
    assert list(maps) == ["stem", "stage2"]


@pytest.mark.parametrize("name", sorted(DEPTHS))
@pytest.mark.parametrize("extra", ["False", "True"])
def test_probe_of_no_image_finds_the_shapes_of_one(name: str, extra: str) -> None:
    """With instance norms and squeeze-and-excitation as well, where some need an image."""
    options = ["MODEL.BACKBONE.WITH_IBN", extra, "MODEL.BACKBONE.WITH_SE", extra]
    cfg = small_cfg(
        "SYSU/one_stream.yml", "MODEL.STREAMS.BACKBONE", name, "MODEL.BACKBONE.DEPTH", DEPTHS[name], *options
    )
    backbone = build_multi_stream_backbone(cfg).eval()
    maps = backbone(torch.zeros(1, 3, 64, 32), maps=MAPS)
    found = {key: (backbone.channels[key], *backbone.sizes[key]) for key in MAPS}
    assert found == {key: tuple(value.shape[1:]) for key, value in maps.items()}


def test_multi_stream_backbone_channels_are_those_of_its_maps() -> None:
    backbone = build_backbone(cfg_of("MODEL.BACKBONE.DEPTH", "50x")).eval()
    assert backbone.channels == dict(zip(MAPS, (64, 256, 512, 1024, 2048), strict=True))
    maps = backbone(torch.randn(1, 3, 64, 32), maps=MAPS)
    assert {name: m.shape[1] for name, m in maps.items()} == backbone.channels


def test_max_pool_of_torchvision_is_padded_and_fastreids_is_not() -> None:
    torch.manual_seed(0)
    ours = build_backbone(cfg_of("MODEL.STREAMS.MAX_POOL", "fastreid")).eval()
    torch.manual_seed(0)
    padded = build_backbone(cfg_of("MODEL.STREAMS.MAX_POOL", "torchvision")).eval()
    images = torch.randn(2, 3, 64, 32)
    conv = images
    for layer in list(ours.stem.copies[0].blocks)[:3]:
        conv = layer(conv)
    reference = torch.nn.functional.max_pool2d(conv, 3, 2, padding=1)
    torch.testing.assert_close(padded(images, maps=("stem",))["stem"], reference)
    assert not torch.allclose(ours(images)["stage4"], padded(images)["stage4"])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["MODEL.STREAMS.BACKBONE", "build_mobilenetv3_backbone"], "build_resnet_backbone"),
        (["MODEL.STREAMS.COUNT", "3"], "1, 2, 4"),
        (["MODEL.STREAMS.SEPARATE_STAGES", "5"], "0 to 4"),
        (["MODEL.STREAMS.MAX_POOL", "padded"], "torchvision"),
        (["MODEL.ATTENTION.STAGE2", "['MIM']"], "MIIM"),
        (["MODEL.ATTENTION.STAGE2", "['MIIM@2']"], "0 to 1"),
        (["MODEL.BACKBONE.PRETRAIN", "True", "MODEL.BACKBONE.PRETRAIN_PATH", "gone.pth"], r"gone\.pth"),
    ],
)
def test_build_backbone_with_a_wrong_value_is_one_error(overrides: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_backbone(cfg_of(*overrides))
