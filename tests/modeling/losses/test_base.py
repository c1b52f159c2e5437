import re
from dataclasses import replace

import pytest
import torch
from fastreid.modeling.losses import cross_entropy_loss, pairwise_circleloss, pairwise_cosface, triplet_loss
from helpers import small_cfg
from reference.inputs import random_inputs
from reference.losses import NAIVE, smoothed_cross_entropy

from vireid_plugins.config import get_cfg
from vireid_plugins.errors import ConfigError
from vireid_plugins.methods.mscm.losses import QCT
from vireid_plugins.methods.pmt.losses import ModalityTriplet
from vireid_plugins.modeling import Branch, LossInputs
from vireid_plugins.modeling.losses import LOSS_REGISTRY, HardTriplet, LabelSmoothCE, Loss, build_losses

Y = torch.tensor([0, 1, 2, 0, 1, 2])


def inputs() -> LossInputs:
    torch.manual_seed(1)
    branches = {name: Branch(torch.randn(6, 4), torch.randn(6, 4), torch.randn(6, 5)) for name in ("a", "b", "c")}
    return LossInputs(branches, Y, torch.tensor([0] * 3 + [1] * 3), torch.zeros(6))


def only(names: str) -> LossInputs:
    """The inputs with these branches alone."""
    return replace(inputs(), branches={name: branch for name, branch in inputs().branches.items() if name in names})


@pytest.mark.parametrize("epsilon", [0.0, 0.1, 1.0])
def test_label_smooth_ce_equals_its_definition(epsilon: float) -> None:
    found = LabelSmoothCE(epsilon=epsilon)(only("b"))["label_smooth_ce"]
    expected = smoothed_cross_entropy(inputs().branches["b"].logits.double(), Y, epsilon)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


def test_branch_loss_is_the_scaled_mean_over_its_branches() -> None:
    values = [LabelSmoothCE()(only(name))["label_smooth_ce"].item() for name in "abc"]
    assert LabelSmoothCE(scale=2.0)(inputs())["label_smooth_ce"].item() == pytest.approx(2 * sum(values) / 3)
    assert not LabelSmoothCE().applies(only(""))


def test_hard_triplet_on_some_branches_is_the_mean_over_these() -> None:
    values = [HardTriplet()(only(name))["hard_triplet"].item() for name in "ac"]
    chosen = HardTriplet(on=["a", "c"])(inputs())["hard_triplet"].item()
    assert chosen == pytest.approx(sum(values) / 2)
    assert chosen != HardTriplet()(inputs())["hard_triplet"].item()
    assert not HardTriplet(on=["d"]).applies(inputs())


@pytest.mark.parametrize(
    ("loss", "column", "other"),
    [
        (LabelSmoothCE(), "targets", torch.arange(24) % 3),
        (ModalityTriplet(), "modalities", (torch.arange(24) >= 8).long()),
        (QCT(quad_weight=0.5), "views", (torch.arange(24) % 12 >= 7).long()),
    ],
)
def test_terms_of_inputs_with_other_rows_are_those_of_each(loss: Loss, column: str, other: torch.Tensor) -> None:
    first = random_inputs(3, 2, (2, 2), width=6, classes=5)[0]
    second = replace(first, **{column: other})
    found, apart = loss.terms([first, second]), [loss(first), loss(second)]
    torch.testing.assert_close(found, apart)
    (name,) = apart[0]
    assert apart[0][name].item() != apart[1][name].item()


def test_stacked_loss_of_one_branch_is_its_own() -> None:
    loss = HardTriplet()
    values = [loss.on_branch(branch, inputs()) for branch in inputs().branches.values()]
    assert loss(inputs())["hard_triplet"].item() == pytest.approx(torch.stack(values).mean().item())
    assert loss(only("b"))["hard_triplet"].item() == pytest.approx(values[1].item())


def test_build_losses_takes_fastreids_losses_by_the_same_list() -> None:
    cfg = small_cfg(
        "SYSU/one_stream.yml",
        "MODEL.LOSSES.NAME",
        "('CrossEntropyLoss', 'TripletLoss', 'CircleLoss', 'Cosface')",
        "MODEL.LOSSES.CIRCLE.SCALE",
        "0.5",
    )
    found: dict[str, float] = {}
    for loss in build_losses(cfg):
        found |= {name: value.item() for name, value in loss(inputs()).items()}
    branches = inputs().branches.values()
    expected = {
        "cross_entropy_loss": sum(cross_entropy_loss(b.logits, Y, 0.0) for b in branches) / 3,
        "triplet_loss": sum(triplet_loss(b.pooled, Y, 0.3, False, False) for b in branches) / 3,
        "circle_loss": 0.5 * sum(pairwise_circleloss(b.pooled, Y, 0.25, 128) for b in branches) / 3,
        "cosface": sum(pairwise_cosface(b.pooled, Y, 0.25, 128) for b in branches) / 3,
    }
    assert found == pytest.approx({name: value.item() for name, value in expected.items()})


def test_build_losses_with_an_unknown_name_lists_what_exists() -> None:
    with pytest.raises(ConfigError, match=r"^MODEL\.LOSSES\.NAME: unknown value 'Triplet'; available: .*HardTriplet"):
        build_losses(small_cfg("SYSU/wrim.yml", "MODEL.LOSSES.NAME", "('Triplet',)"))


@pytest.mark.parametrize("name", sorted(LOSS_REGISTRY._obj_map))
def test_loss_registry_entries_read_a_node_that_exists(name: str) -> None:
    loss = LOSS_REGISTRY.get(name)
    cfg = small_cfg()
    assert loss.node() in cfg.MODEL.LOSSES
    assert loss.from_config(cfg).scale == cfg.MODEL.LOSSES[loss.node()].SCALE


@pytest.mark.parametrize("name", sorted(NAIVE))
def test_loss_registry_entries_obey_their_scale(name: str) -> None:
    loss, found = LOSS_REGISTRY.get(name), random_inputs(3, 2, (2, 2), width=6, classes=5)[0]
    once, thrice = loss(scale=1.0)(found), loss(scale=3.0)(found)
    assert thrice.keys() == once.keys()
    for key, value in once.items():
        torch.testing.assert_close(thrice[key], 3 * value)
    assert loss().applies(found)


@pytest.mark.parametrize("name", sorted(NAIVE))
def test_loss_registry_entries_have_the_configurations_defaults(name: str) -> None:
    loss = LOSS_REGISTRY.get(name)

    def settings(module: torch.nn.Module) -> dict[str, object]:
        return {key: value for key, value in vars(module).items() if not key.startswith("_")}

    assert settings(loss()) == settings(loss.from_config(get_cfg()))


def named_forms() -> list[tuple[str, str]]:
    """Every loss and key of it whose value is one of a few words."""
    nodes = {name: LOSS_REGISTRY.get(name).node() for name in sorted(LOSS_REGISTRY._obj_map)}
    losses = get_cfg().MODEL.LOSSES
    return [
        (name, f"{node}.{key}")
        for name, node in nodes.items()
        for key in losses[node]
        if type(losses[node][key]) is str
    ]


@pytest.mark.parametrize(("name", "key"), named_forms())
def test_loss_registry_entries_refuse_an_unknown_word_and_name_its_key(name: str, key: str) -> None:
    cfg = small_cfg("SYSU/one_stream.yml", f"MODEL.LOSSES.{key}", "nonsense")
    with pytest.raises(ConfigError, match=rf"^MODEL\.LOSSES\.{re.escape(key)}: unknown value 'nonsense'; available: "):
        LOSS_REGISTRY.get(name).from_config(cfg)
