"""The vision transformer as stem and stages, its tokens as feature maps, and its weights from other sources."""

import functools
import logging
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fastreid.modeling.backbones import build_backbone
from fastreid.modeling.backbones.build import BACKBONE_REGISTRY
from fastreid.modeling.meta_arch import build_model
from helpers import batch, small_cfg
from released import FIXTURES
from torch import Tensor
from torchvision.models import VisionTransformer as Torchvisions

from vireid_plugins.config import CfgNode
from vireid_plugins.engine import Trainer, VireidCheckpointer
from vireid_plugins.errors import ConfigError
from vireid_plugins.modeling.backbones.tokens import Grid
from vireid_plugins.modeling.backbones.vit import SIZES, build_vit
from vireid_plugins.modeling.backbones.vit_weights import grid_of, resize_positions
from vireid_plugins.visualize import pair_maps

# Of 64 x 32 images at stride 12.
GRID = Grid(5, 2)
PATCHES = ["MODEL.STREAMS.TOKENS", "patches"]
# Four blocks of which every stage has one.
THIN = {"embed_dim": 48, "depth": 4, "num_heads": 3, "mlp_ratio": 2.0, "qkv_bias": True}


@pytest.fixture(autouse=True)
def thin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SIZES, "thin", THIN)


def cfg_of(*overrides: str, config: str = "SYSU/one_stream.yml", depth: str = "thin") -> CfgNode:
    return small_cfg(
        config,
        *(
            "MODEL.STREAMS.BACKBONE",
            "build_vit_backbone",
            "MODEL.BACKBONE.DEPTH",
            depth,
            "MODEL.HEADS.NUM_CLASSES",
            "6",
        ),
        *("MODEL.BACKBONE.STRIDE_SIZE", "(12, 12)", *overrides),
    )


def built(*overrides: str, **named: str) -> Any:
    torch.manual_seed(0)
    return build_backbone(cfg_of(*overrides, **named))


@pytest.mark.parametrize("depth", ["base", "small"])
def test_build_vit_is_fastreids_own_network(depth: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cfg = cfg_of(depth=depth)
    # Its rates of drop path are read, which the meta device has no values for.
    monkeypatch.setattr(torch, "linspace", functools.partial(torch.linspace, device="cpu"))
    with torch.device("meta"):
        ours, theirs = build_vit(cfg), BACKBONE_REGISTRY.get("build_vit_backbone")(cfg)
    shapes = [{name: value.shape for name, value in one.state_dict().items()} for one in (ours, theirs)]
    assert shapes[0] == shapes[1]
    for name, module in theirs.named_modules():
        other = ours.get_submodule(name)
        for option in ("eps", "p", "scale", "num_heads", "drop_prob", "stride"):
            assert getattr(other, option, None) == getattr(module, option, None), f"{name}.{option}"


@pytest.mark.parametrize(("count", "separate"), [(1, 0), (2, 0), (2, 1), (4, 0), (4, 2)])
def test_vit_of_equal_streams_computes_what_fastreids_does(count: int, separate: int) -> None:
    torch.manual_seed(0)
    whole = build_vit(cfg_of()).double().eval()
    streams = built("MODEL.STREAMS.COUNT", str(count), "MODEL.STREAMS.SEPARATE_STAGES", str(separate)).double().eval()
    images = torch.randn(4, 3, 64, 32, dtype=torch.float64)
    for one in whole.modules():  # its own form of attention
        if type(one).__name__ == "FusedAttention":
            one.__class__ = type(one).__mro__[1]
    found = streams(images, torch.tensor([1, 0, 0, 1]))["stage4"]
    torch.testing.assert_close(found, whole(images), rtol=1e-12, atol=1e-12)


def test_vit_stem_is_one_patch_embedding_per_modality() -> None:
    backbone = built("MODEL.STREAMS.COUNT", "2").eval()
    images, modalities = torch.randn(2, 3, 64, 32), torch.tensor([0, 1])
    before = backbone(images, modalities)["stage4"]
    backbone.stem.copies[1].blocks[0].weight.data.zero_()
    changed = (backbone(images, modalities)["stage4"] - before).flatten(1).abs().amax(1) > 0
    assert changed.tolist() == [False, True]


def test_vit_modality_embedding_is_added_to_every_token() -> None:
    backbone = built("MODEL.VIT.MODALITY_EMBEDDING", "True").eval()
    images = torch.randn(1, 3, 64, 32).expand(2, -1, -1, -1)
    first = backbone.stages["stage1"].blocks[0]
    tokens = first.tokens(backbone.stem(images), torch.tensor([0, 1]))
    embed = first.tokens.modality_embed
    expected = (embed[1] - embed[0]).detach().expand(len(tokens[0]), -1)
    torch.testing.assert_close(tokens[1] - tokens[0], 3.0 * expected)  # fast-reid's SIE_COE
    with pytest.raises(ValueError, match="needs `modalities`"):
        backbone(images)


CAMERAS = ["MODEL.VIT.CAMERAS", "[2, 5, 6]"]


def test_vit_camera_embedding_is_added_to_every_token() -> None:
    backbone = built(*CAMERAS).eval()
    stem = backbone.stem(torch.randn(1, 3, 64, 32).expand(3, -1, -1, -1))
    embedding = backbone.stages["stage1"].blocks[0].tokens
    backbone.see_cameras(torch.tensor([6, 2, 6]))
    tokens = embedding(stem)
    torch.testing.assert_close(tokens[0], tokens[2])
    expected = (embedding.camera_embed[0] - embedding.camera_embed[2]).detach().expand(len(tokens[0]), -1)
    torch.testing.assert_close(tokens[1] - tokens[0], 3.0 * expected)  # fast-reid's SIE_COE


@pytest.mark.parametrize(
    ("cameras", "message"),
    [
        (None, "gets 3 without one; it can be trained and scored"),
        ([2, 5, 7], r"images of camera 7, which is none of \[2"),
    ],
)
def test_vit_with_cameras_refuses_images_of_others(cameras: list[int] | None, message: str) -> None:
    model = build_model(cfg_of(*CAMERAS)).eval()
    images = {"images": torch.zeros(3, 3, 64, 32), "modalities": torch.zeros(3, dtype=torch.long)}
    # The cameras of an earlier batch are not those of this one.
    model({**images, "camids": torch.tensor([2, 5, 6])})
    given = {} if cameras is None else {"camids": torch.tensor(cameras)}
    with pytest.raises(ConfigError, match=message):
        model({**images, **given})


def test_vit_with_cameras_recomputes_stages_with_theirs() -> None:
    grads = []
    for overrides in ([], ["MODEL.CHECKPOINT_STAGES", "True"]):
        torch.manual_seed(0)
        model = build_model(cfg_of(*CAMERAS, "MODEL.STREAMS.COUNT", "2", *overrides)).train()
        rows = batch(6, 2)
        rows["camids"] = torch.where(rows["modalities"] == 0, 2, 5)
        sum(model(rows).values()).backward()
        grads.append(model.backbone.stages["stage1"].blocks[0].tokens.camera_embed.grad)
    assert float(grads[0][:2].abs().min()) > 0
    assert not grads[0][2].any()
    torch.testing.assert_close(grads[0], grads[1])


def test_vit_with_cameras_trains_and_is_scored(little_root: Path, tmp_path: Path) -> None:
    cfg = cfg_of("MODEL.VIT.CAMERAS", "[1, 2, 3, 4, 5, 6]", "OUTPUT_DIR", str(tmp_path), "TEST.FLIP.ENABLED", "True")
    assert 0 < Trainer(cfg).train()["mAP"] <= 100


@pytest.mark.parametrize(("tokens", "size"), [("class", (1, 1)), ("mean", (1, 1)), ("patches", (5, 2))])
def test_vit_maps_have_the_sizes_that_the_backbone_tells(tokens: str, size: tuple[int, int]) -> None:
    backbone = built("MODEL.STREAMS.TOKENS", tokens).eval()
    names = ("stem", "stage1", "stage2", "stage3", "stage4")
    maps = backbone(torch.randn(2, 3, 64, 32), maps=names)
    assert {name: (48, *backbone.sizes[name]) for name in names} == {n: tuple(m.shape[1:]) for n, m in maps.items()}
    assert backbone.sizes["stage4"] == size
    assert backbone.sizes["stage3"] == (5, 2)
    sequence = backbone.outputs(torch.randn(2, 3, 64, 32))["stage4"]
    torch.testing.assert_close(backbone.to_map(sequence)[:, :, 1, 0], sequence[:, 1 + 2])
    torch.testing.assert_close(backbone.with_map(sequence, backbone.to_map(sequence)), sequence)
    torch.testing.assert_close(GRID.pooled(sequence, "mean").flatten(1), backbone.to_map(sequence).mean((2, 3)))


def test_grid_with_map_of_more_rows_repeats_the_class_token() -> None:
    sequence = torch.randn(2, 11, 4)
    tripled = GRID.with_map(sequence, torch.randn(6, 4, 5, 2))
    torch.testing.assert_close(tripled[:, 0], sequence[:, 0].repeat(3, 1))


def test_vit_with_fewer_blocks_has_the_first_ones_under_the_same_names() -> None:
    whole, first = built(depth="tiny"), built("MODEL.VIT.BLOCKS", "2", depth="tiny")
    names = {name for name in whole.state_dict() if re.match(r"stem|stages\.stage1\.blocks\.[01]|.*\.norm\.", name)}
    assert set(first.state_dict()) == names
    assert first.eval()(torch.randn(1, 3, 64, 32))["stage4"].shape == (1, 192, 1, 1)


def test_vit_map_module_sees_the_patches_and_leaves_the_class_token() -> None:
    miim = ["MODEL.ATTENTION.STAGE2", "['NonLocal']"]
    plain, plugged = built().eval(), built(*miim).eval()
    module = plugged.stages["stage2"].attention[0].module
    module.forward = lambda x, modalities: x + 1
    plugged.load_state_dict(plain.state_dict(), strict=False)
    images = torch.randn(2, 3, 64, 32)
    found, expected = (one.outputs(images, maps=("stage2",))["stage2"] for one in (plugged, plain))
    torch.testing.assert_close(found[:, 0], expected[:, 0])
    torch.testing.assert_close(found[:, 1:], expected[:, 1:] + 1)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["MODEL.ATTENTION.STAGE4", "['NonLocal']"], r"STAGE4: .*class token no longer sees"),
        (["INPUT.SIZE_TEST", "[96, 32]"], r"INPUT\.SIZE_TEST: must equal INPUT\.SIZE_TRAIN \[64, 32\] with a ViT"),
        (["MODEL.BACKBONE.DEPTH", "50x"], r"MODEL\.BACKBONE\.DEPTH: unknown value '50x'; available: base, small"),
        (["MODEL.STREAMS.TOKENS", "all"], r"MODEL\.STREAMS\.TOKENS: unknown value 'all'; available: class"),
        (["MODEL.VIT.BLOCKS", "5"], r"MODEL\.VIT\.BLOCKS: 'thin' has 4 blocks, got 5"),
        (["MODEL.VIT.CAMERAS", "[1, 1]"], r"MODEL\.VIT\.CAMERAS: must be different whole numbers"),
        (
            [*CAMERAS, "MODEL.STREAMS.COUNT", "2", "MODEL.STREAMS.SEPARATE_STAGES", "1"],
            r"MODEL\.VIT\.CAMERAS: .*SEPARATE_STAGES 1 divides it",
        ),
        (["MODEL.BACKBONE.STRIDE_SIZE", "(0, 12)"], r"STRIDE_SIZE: must be two whole numbers from 1 to 16"),
        (["MODEL.BACKBONE.STRIDE_SIZE", "(20, 20)"], r"STRIDE_SIZE: .*got .*20, 20"),
        (["MODEL.BACKBONE.STRIDE_SIZE", "(12.5, 12)"], r"STRIDE_SIZE: .*got .*12\.5, 12"),
        (["MODEL.BACKBONE.STRIDE_SIZE", "(12,)"], r"STRIDE_SIZE: .*got .*12"),
        (["MODEL.VIT.EPS", "0.0"], r"MODEL\.VIT\.EPS: must be above 0"),
        (["MODEL.VIT.BLOCKS", "-1"], r"MODEL\.VIT\.BLOCKS: must be 0 \(all\) or more, got -1"),
        (
            ["INPUT.SIZE_TRAIN", "[64, 8]", "INPUT.SIZE_TEST", "[64, 8]"],
            r"INPUT\.SIZE_TRAIN: must be at least one patch",
        ),
    ],
)
def test_build_vit_with_a_wrong_value_is_one_error(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        built(*overrides)


@pytest.mark.parametrize("method", ["agw", "caj", "wrim", "deen", "idkl", "idkl_released", "icre"])
def test_methods_take_a_step_on_vits_patches(method: str) -> None:
    more = {"agw": ["MODEL.ATTENTION.STAGE2", "['NonLocal@0']", "MODEL.ATTENTION.STAGE3", "[]"], "wrim": []}
    more["caj"] = more["agw"]
    more["wrim"] = ["MODEL.ATTENTION.MIIM.REDUCTION", "[1, 1, 1, 1]", "MODEL.ATTENTION.MIIM.HEADS", "4"]
    cfg = cfg_of(*PATCHES, *more.get(method, []), config=f"SYSU/{method}.yml")
    cfg.MODEL.HEADS.POOL_LAYER = "GlobalAvgPool"
    torch.manual_seed(0)
    model = build_model(cfg).train()
    losses = model(batch(6, 2, views=(len(cfg.INPUT.VIEWS.VISIBLE), len(cfg.INPUT.VIEWS.INFRARED))))
    sum(losses.values()).backward()
    assert not [key for key, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert torch.isfinite(model.eval()(batch(2, 1))).all()


def test_methods_that_need_maps_refuse_the_class_token() -> None:
    with pytest.raises(ConfigError, match=r"MODEL\.STREAMS\.TOKENS: DEEN needs feature maps, and 'class' has none"):
        build_model(cfg_of(config="SYSU/deen.yml"))
    plain = ["MODEL.ATTENTION.STAGE2", "[]", "MODEL.ATTENTION.STAGE3", "[]"]
    with pytest.raises(ConfigError, match=r"MODEL\.STREAMS\.BACKBONE: MSCMNet relates feature maps of different sizes"):
        build_model(cfg_of(*PATCHES, *plain, config="SYSU/mscm.yml"))


@pytest.mark.parametrize("overrides", [[], PATCHES, ["MODEL.STREAMS.COUNT", "2", "MODEL.STREAMS.SEPARATE_STAGES", "4"]])
def test_pair_maps_of_a_vit_are_not_flat(overrides: list[str]) -> None:
    torch.manual_seed(0)
    model = build_model(cfg_of(*overrides)).eval()
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 32, 3), dtype=np.uint8)
    pair = pair_maps(model, *images)
    assert all(heat.min() == 0 and heat.max() == 1 for heat in (pair.visible_map, pair.infrared_map))


def test_vit_pooled_by_gem_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        built("MODEL.HEADS.POOL_LAYER", "GeMAdd")
    assert "MODEL.HEADS.POOL_LAYER: GeMAdd cuts off negative values" in caplog.text


# Positions.


def test_resize_positions_equals_released_embedding() -> None:
    with np.load(FIXTURES / "pmt_salt5.npz") as file:
        positions = torch.from_numpy(np.random.RandomState(300).standard_normal((1, 197, 768)))
        for height, width in ((21, 10), (16, 8), (5, 2)):
            found = resize_positions(positions, Grid(14, 14), Grid(height, width)).numpy()
            expected = file[f"pos_embed/{height}x{width}"]
            np.testing.assert_allclose(found[..., ::64], expected, rtol=1e-12, atol=1e-12)
            np.testing.assert_allclose(np.linalg.norm(found), file[f"pos_embed/{height}x{width}_norm"], rtol=1e-12)


@pytest.mark.parametrize(
    ("count", "like", "grid"),
    [(196, Grid(21, 10), Grid(14, 14)), (210, Grid(16, 8), Grid(21, 10)), (128, Grid(21, 10), Grid(16, 8))],
)
def test_grid_of_takes_the_square_or_the_nearest_ratio(count: int, like: Grid, grid: Grid) -> None:
    assert grid_of(count, like) == grid


def test_checkpoint_of_another_size_has_its_positions_resized(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    torch.manual_seed(0)
    VireidCheckpointer(build_model(cfg_of()), str(tmp_path)).save("model")
    large = build_model(cfg_of("INPUT.SIZE_TRAIN", "[128, 64]", "INPUT.SIZE_TEST", "[128, 64]"))
    with caplog.at_level(logging.INFO):
        VireidCheckpointer(large).load(str(tmp_path / "model.pth"))
    assert "resized from 5 x 2 to 10 x 5 patches" in caplog.text
    saved = torch.load(tmp_path / "model.pth")["model"]
    key = "backbone.stages.stage1.blocks.0.tokens.pos_embed"
    torch.testing.assert_close(large.state_dict()[key], resize_positions(saved[key], GRID, Grid(10, 5)))


# Weights from other sources.


def timm(grid: int = 3) -> dict[str, Tensor]:
    """A state dict with timm's names, of images of `grid` x `grid` patches."""
    torch.manual_seed(7)
    side = str([16 * grid] * 2)
    plain = ("MODEL.BACKBONE.STRIDE_SIZE", "(16, 16)", "INPUT.SIZE_TRAIN", side, "INPUT.SIZE_TEST", side)
    return {**build_vit(cfg_of(*plain)).state_dict(), "head.weight": torch.ones(5, 48), "head.bias": torch.ones(5)}


def distilled(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    positions = weights["pos_embed"]
    doubled = torch.cat([positions[:, :1], torch.full_like(positions[:, :1], 9.0), positions[:, 1:]], 1)
    return {**weights, "dist_token": torch.ones(1, 1, 48), "pos_embed": doubled, "head_dist.weight": torch.ones(5, 48)}


FORMS = {
    "timm": lambda w: w,
    "MAE": lambda w: {"model": {**w, "mask_token": torch.ones(1, 1, 48), "decoder_norm.weight": torch.ones(3)}},
    "old": lambda w: {**w, "patch_embed.proj.weight": w["patch_embed.proj.weight"].flatten(1)},
    "DeiT": distilled,
    "fast-reid": lambda w: {"model": {f"backbone.{n}": t for n, t in w.items()} | {"heads.weight": torch.ones(2)}},
    "TransReID": lambda w: {
        **{f"base.{n}": t for n, t in w.items()},
        "base.sie_embed": torch.ones(6, 1, 48), "b1.0.norm1.weight": torch.ones(48),
        "classifier.weight": torch.ones(5, 48), "bottleneck.weight": torch.ones(48),
    },
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_pretrained_vit_fills_everything_and_resizes_positions(tmp_path: Path, form: str) -> None:
    weights = timm()
    torch.save(FORMS[form](weights), tmp_path / "vit.pth")
    given = ["MODEL.BACKBONE.PRETRAIN", "True", "MODEL.BACKBONE.PRETRAIN_PATH", str(tmp_path / "vit.pth")]
    backbone = build_backbone(cfg_of(*given, "MODEL.STREAMS.COUNT", "2"))
    first = backbone.stages["stage1"].blocks[0]
    expected = resize_positions(weights["pos_embed"], Grid(3, 3), GRID)
    torch.testing.assert_close(first.tokens.pos_embed.detach(), expected)
    torch.testing.assert_close(first.tokens.cls_token.detach(), weights["cls_token"])
    torch.testing.assert_close(backbone.stem.copies[1].blocks[0].weight.detach(), weights["patch_embed.proj.weight"])
    torch.testing.assert_close(
        backbone.stages["stage4"].blocks[0].block.mlp.fc2.weight.detach(), weights["blocks.3.mlp.fc2.weight"]
    )
    torch.testing.assert_close(backbone.stages["stage4"].blocks[0].norm.weight.detach(), weights["norm.weight"])


@pytest.mark.parametrize("older", [False, True])
def test_pretrained_vit_of_torchvision_computes_what_torchvision_does(tmp_path: Path, older: bool) -> None:
    torch.manual_seed(3)
    theirs = Torchvisions(
        image_size=64, patch_size=16, num_layers=4, num_heads=3, hidden_dim=48, mlp_dim=96, num_classes=5
    ).eval()
    torch.nn.init.normal_(theirs.encoder.pos_embedding)
    weights = theirs.state_dict()
    if older:
        weights = {n.replace("mlp.0", "mlp.linear_1").replace("mlp.3", "mlp.linear_2"): t for n, t in weights.items()}
    torch.save(weights, tmp_path / "vit.pth")
    given = ["MODEL.BACKBONE.PRETRAIN", "True", "MODEL.BACKBONE.PRETRAIN_PATH", str(tmp_path / "vit.pth")]
    square = ["INPUT.SIZE_TRAIN", "[64, 64]", "INPUT.SIZE_TEST", "[64, 64]", "MODEL.BACKBONE.STRIDE_SIZE", "(16, 16)"]
    ours = build_backbone(cfg_of(*given, *square)).eval()
    theirs.heads = torch.nn.Identity()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(ours(images)["stage4"].flatten(1), theirs(images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: {n: t for n, t in w.items() if n != "pos_embed"}, "1 are missing: pos_embed"),
        (lambda w: {n: t for n, t in w.items() if n != "blocks.1.norm1.bias"}, r"missing: blocks\.1\.norm1\.bias"),
        (lambda w: {**w, "blocks.4.norm1.bias": torch.ones(48)}, None),
        (lambda w: {f"visual.{n}": t for n, t in w.items()}, "no weight of"),
    ],
    ids=["positions", "norm", "deeper", "CLIP"],
)
def test_pretrained_vit_that_does_not_fit_is_one_error(tmp_path: Path, change: Any, message: str | None) -> None:
    torch.save(change(timm()), tmp_path / "vit.pth")
    given = ["MODEL.BACKBONE.PRETRAIN", "True", "MODEL.BACKBONE.PRETRAIN_PATH", str(tmp_path / "vit.pth")]
    if message is None:
        with pytest.raises(ConfigError, match=r"1 in the file have no counterpart: blocks\.4"):
            build_backbone(cfg_of(*given))
        # Fewer blocks are chosen by a key.
        build_backbone(cfg_of(*given, "MODEL.VIT.BLOCKS", "2"))
    else:
        with pytest.raises(ConfigError, match=message):
            build_backbone(cfg_of(*given))


def test_vit_of_images_of_another_size_names_the_key() -> None:
    with pytest.raises(ConfigError, match=r"INPUT\.SIZE_TEST: a ViT has positions for .* got images of"):
        built()(torch.rand(1, 3, 96, 32))
