import pytest
import torch
import torch.nn.functional as F
from fastreid.modeling.meta_arch import build_model
from helpers import batch, small_cfg

from vireid_plugins.errors import ConfigError
from vireid_plugins.methods.wrim.losses import cmkic
from vireid_plugins.modeling.losses import LabelSmoothCE, hard_triplet


def wrim(*overrides: str) -> torch.nn.Module:
    torch.manual_seed(0)
    return build_model(small_cfg("SYSU/wrim.yml", "MODEL.HEADS.NUM_CLASSES", "6", *overrides))


def test_wrim_net_losses_are_the_terms_of_figure_2() -> None:
    """L_cls(R) + lambda1 L_CMKIC(Z) + lambda2 (L_cls(Q) + L_tri(Q_g)), each term computed from the maps."""
    model = wrim("MODEL.WRIM.AUX_WEIGHT", "0.25", "MODEL.LOSSES.CMKIC.SCALE", "3.0").train()
    whole = batch(4, 2)
    y = whole["targets"]
    losses = model(whole)
    maps = model.backbone(model.normalize(whole["images"]), whole["modalities"], whole["views"], ("stage3", "stage4"))
    p4, p5 = maps["stage3"], maps["stage4"]
    rows = p5.shape[2] // 2

    def embed(map_: torch.Tensor, name: str) -> tuple[torch.Tensor, torch.Tensor]:
        pooled = map_.mean((2, 3))
        head = model.heads[name]
        return pooled, F.linear(head.bottleneck(pooled[..., None, None])[..., 0, 0], head.weight)

    main = [embed(p5, "R_g"), embed(p5[:, :, :rows], "R_1"), embed(p5[:, :, rows:], "R_2")]
    q_g, q_logits = embed(p4, "Q_g")
    z = model.heads["projection"](main[0][0])
    half = len(y) // 2

    def ce(logits: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(logits, y, label_smoothing=0.1)

    expected = {
        "loss_label_smooth_ce": sum(ce(logits) for _, logits in main) / 3,
        "loss_cmkic": 3.0 * cmkic(z[:half], z[half:], y[:half], y[half:]),
        "loss_aux_label_smooth_ce": 0.25 * ce(q_logits),
        "loss_aux_hard_triplet": 0.25 * hard_triplet(q_g, y, 0.3),
    }
    assert set(losses) == set(expected)
    for name, value in expected.items():
        torch.testing.assert_close(losses[name], value, rtol=1e-4, atol=1e-5)


def test_wrim_net_test_feature_is_the_normalized_concatenation_of_r_necks() -> None:
    model = wrim().eval()
    whole = batch(2, 1)
    with torch.no_grad():
        p5 = model.backbone(model.normalize(whole["images"]), whole["modalities"], whole["views"])["stage4"]
        top, bottom = p5.chunk(2, dim=2)
        necks = [
            model.heads[n].bottleneck(m.mean((2, 3), keepdim=True))[..., 0, 0]
            for n, m in (("R_g", p5), ("R_1", top), ("R_2", bottom))
        ]
        torch.testing.assert_close(model(whole), F.normalize(torch.cat(necks, 1)))


def test_wrim_net_at_test_does_not_run_the_auxiliary_branch() -> None:
    model = wrim().eval()
    model.heads["Q_g"].register_forward_hook(lambda *_: pytest.fail("Q_g was run"))
    model(batch())


def test_wrim_net_has_weights_for_each_modality_in_shallow_miims_only() -> None:
    model = wrim()
    copies = [hasattr(stage.attention[0], "copies") for stage in model.backbone.stages.values()]
    assert copies == [True, True, False, False]
    assert len(model.backbone.stem.copies) == 1


def test_wrim_net_test_feature_includes_the_auxiliary_branch_where_asked() -> None:
    model = wrim("MODEL.WRIM.TEST_AUX", "True").eval()
    plain = wrim().eval()
    plain.load_state_dict(model.state_dict())
    whole = batch(2, 1)
    with torch.no_grad():
        found, without = model(whole), plain(whole)
        p4 = model.backbone(model.normalize(whole["images"]), whole["modalities"], whole["views"], ("stage3",))[
            "stage3"
        ]
        neck = model.heads["Q_g"].bottleneck(p4.mean((2, 3), keepdim=True))[..., 0, 0]
    assert found.shape == (4, 3 * 128 + 64)
    torch.testing.assert_close(F.normalize(found[:, : 3 * 128]), without)
    auxiliary = found[:, 3 * 128 :]
    torch.testing.assert_close(F.normalize(auxiliary), F.normalize(neck))


@pytest.mark.parametrize("taken", ["pooled", "neck"])
def test_wrim_net_projection_is_of_the_pooled_or_the_neck_feature(taken: str) -> None:
    model = wrim("MODEL.WRIM.PROJECTION_FROM", taken).train()
    seen = []
    model.heads["projection"].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model.heads["R_g"].register_forward_hook(lambda _, __, branch: seen.append(getattr(branch, taken)))
    model(batch())
    assert torch.equal(seen[0], seen[1])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["MODEL.WRIM.PROJECTION_FROM", "logits"], "PROJECTION_FROM: unknown value 'logits'; available: neck, pooled"),
        (["MODEL.WRIM.TEST_AUX", "True", "MODEL.WRIM.AUX_WEIGHT", "0.0"], "TEST_AUX: True needs the auxiliary branch"),
    ],
)
def test_wrim_net_with_settings_that_do_not_fit_is_one_error(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        wrim(*overrides)


def test_wrim_net_open_guesses_do_not_change_the_checkpoints_parameters() -> None:
    shapes = {key: value.shape for key, value in wrim().state_dict().items()}
    other = wrim(
        "MODEL.ATTENTION.MIIM.OPERAND", "relu", "MODEL.ATTENTION.MIIM.KV_POOL", "1", "MODEL.WRIM.TEST_AUX", "True",
        "MODEL.WRIM.PROJECTION_FROM", "neck", "MODEL.LOSSES.CMKIC.OTHER_POSITIVES", "True",
    )  # fmt: skip
    assert {key: value.shape for key, value in other.state_dict().items()} == shapes


@pytest.mark.parametrize(
    ("overrides", "branches"),
    [
        (["MODEL.WRIM.PARTS", "0"], {"R_g", "Q_g"}),
        (["MODEL.WRIM.PARTS", "3"], {"R_g", "R_1", "R_2", "R_3", "Q_g"}),
        (["MODEL.WRIM.AUX_WEIGHT", "0.0", "MODEL.LOSSES.HARD_TRIPLET.ON", "[]"], {"R_g", "R_1", "R_2"}),
        (["MODEL.HEADS.PROJECTION_DIM", "0", "MODEL.LOSSES.NAME", "('LabelSmoothCE',)"], {"R_g", "R_1", "R_2", "Q_g"}),
    ],
)
def test_wrim_net_with_chosen_parts_has_these_branches_and_all_learn(overrides: list[str], branches: set[str]) -> None:
    model = wrim(*overrides)
    assert {name for name in model.heads if name != "projection"} == branches
    sum(model.train()(batch()).values()).backward()
    assert not [key for key, p in model.named_parameters() if p.requires_grad and p.grad is None]


def test_wrim_net_with_a_loss_that_has_nothing_to_look_at_is_one_error() -> None:
    with pytest.raises(ConfigError, match=r"HARD_TRIPLET.*branches R_g, R_1, R_2, Q_g"):
        wrim("MODEL.LOSSES.HARD_TRIPLET.ON", "['global']").train()(batch())
    with pytest.raises(ConfigError, match=r"CMKIC.*PROJECTION_DIM is 0"):
        wrim("MODEL.HEADS.PROJECTION_DIM", "0").train()(batch())


def test_wrim_net_refuses_a_stock_backbone_and_takes_a_stock_head() -> None:
    with pytest.raises(ConfigError, match=r"MODEL.STREAMS.BACKBONE to build_resnet_backbone"):
        wrim("MODEL.BACKBONE.NAME", "build_resnet_backbone")
    model = wrim("MODEL.HEADS.NAME", "EmbeddingHead", "MODEL.BACKBONE.FEAT_DIM", "128").train()
    sum(model(batch()).values()).backward()
    assert model.eval()(batch()).shape == (16, 3 * 128)


def test_wrim_net_takes_a_margin_classifier_of_fastreid() -> None:
    overrides = ["MODEL.HEADS.CLS_LAYER", "CircleSoftmax", "MODEL.HEADS.SCALE", "64", "MODEL.HEADS.MARGIN", "0.35"]
    losses = wrim(*overrides).train()(batch())
    assert torch.isfinite(losses["loss_label_smooth_ce"])


def test_wrim_net_config_sets_label_smoothing() -> None:
    (ce,) = [loss for loss in wrim().losses if isinstance(loss, LabelSmoothCE)]
    assert ce.epsilon == 0.1
