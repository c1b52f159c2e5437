"""What the bench says of a network's parts, against networks whose parts are known to do something or nothing."""

from typing import Any

import pytest
import torch
from fastreid.modeling.meta_arch import build_model
from helpers import batch, small_cfg
from learning_parts.activity import activity
from torch import nn

MIIM = ("MODEL.BACKBONE.LAST_STRIDE", "1", "MODEL.ATTENTION.MIIM.KV_POOL", "1")


def model(config: str, *overrides: str) -> Any:
    torch.manual_seed(0)
    return build_model(small_cfg(config, "MODEL.HEADS.NUM_CLASSES", "4", *overrides))


def test_activity_of_wrim_net_has_a_gate_and_gradients_for_every_miim() -> None:
    network = model("SYSU/wrim.yml", *MIIM)
    found = activity(network, batch())
    # Two in each of the first two stages, one in the others.
    for name in ("MIIM: spread of the gate over positions", "MIIM: gradient of W_q", "MIIM: gradient of W_k"):
        assert len(found["modules"][name]) == 6
        assert min(found["modules"][name]) > 0
    attention = network.backbone.stages["stage4"].attention[0]
    d = attention.qkv.weight.shape[1]
    expected = attention.qkv.weight.grad[d : 2 * d].norm() / attention.qkv.weight[d : 2 * d].norm()
    assert found["modules"]["MIIM: gradient of W_k"][-1] == pytest.approx(float(expected.detach()))
    assert sum(share for _, share in found["losses"].values()) == pytest.approx(1)
    assert {"loss_cmkic", "loss_aux_hard_triplet"} <= set(found["losses"])


def test_activity_tells_when_a_gate_is_the_same_everywhere() -> None:
    network = model("SYSU/wrim.yml", *MIIM)
    nn.init.zeros_(network.backbone.stages["stage4"].attention[0].restore.weight)
    found = activity(network, batch())
    assert found["modules"]["MIIM: spread of the gate over positions"][-1] == pytest.approx(0, abs=1e-7)
    assert found["modules"]["MIIM: gradient of W_q"][-1] == 0
    assert [name for name in found["idle"] if "stage4.attention.0.qkv" in name]


def test_activity_tells_when_a_mask_is_the_same_for_every_channel_and_image() -> None:
    network = model("SYSU/idkl.yml")
    found = activity(network, batch())["modules"]
    for name in ("m_e", "m_r"):
        assert found[f"Purifier: spread of {name} over channels"][0] > 0
        assert found[f"Purifier: spread of {name} over images"][0] > 0
        assert found[f"Purifier: gradient of {name}"][0] > 0
    nn.init.zeros_(network.purifier.mask_r[2].weight)
    found = activity(network, batch())["modules"]
    assert found["Purifier: spread of m_r over channels"] == [0]
    assert found["Purifier: spread of m_r over images"] == [0]


def test_activity_gives_each_loss_its_share_of_the_gradient_in_the_last_stage() -> None:
    network = model("SYSU/one_stream.yml")
    found = activity(network, batch())["losses"]
    norms = {}
    for name in found:
        network.zero_grad()
        network(batch())[name].backward()
        norms[name] = torch.cat([p.grad.flatten() for p in network.backbone.stages["stage4"].parameters()]).norm()
    for name, (_, share) in found.items():
        assert share == pytest.approx(float(norms[name] / sum(norms.values())), rel=1e-4)


def test_activity_names_parameters_without_a_gradient() -> None:
    network = model("SYSU/one_stream.yml")
    assert activity(network, batch())["idle"] == []
    network.forgotten = nn.Linear(2, 2)
    assert activity(network, batch())["idle"] == ["forgotten.weight", "forgotten.bias"]


@pytest.mark.parametrize(("config", "masks"), [("SYSU/mpanet.yml", "PatternMaps"), ("SYSU/saai.yml", "SAFL")])
def test_activity_tells_when_a_gate_or_a_mask_is_the_same_everywhere(config: str, masks: str) -> None:
    network = model(config)
    found = activity(network, batch())["modules"]
    # After stages 3 and 4.
    assert len(found["MAM: gradient"]) == 2
    names = [f"MAM: spread of the gate over {over}" for over in ("channels", "images")]
    names += [f"{masks}: spread of the masks over {over}" for over in ("positions", "parts", "images")]
    assert all(value > 0 for name in [*names, f"{masks}: gradient"] for value in found[name])
    assert found["teacher: distance from its classifier"] == [0, 0]
    network.heads["visible_teacher"].weight.mul_(3)
    for attention in ("stage3", "stage4"):
        nn.init.zeros_(network.backbone.stages[attention].attention[0].gate[2].weight)
    for weight in network.masks.parameters():
        nn.init.zeros_(weight)
    found = activity(network, batch())["modules"]
    assert all(value == pytest.approx(0, abs=1e-6) for name in names for value in found[name])
    assert found[f"{masks}: mean of the masks"] == [0.5]
    assert found["teacher: distance from its classifier"] == pytest.approx([2, 0])
