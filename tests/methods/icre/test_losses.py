"""ICG, the center loss of ICRE."""

from typing import Any

import pytest
import torch
from reference.losses import NAIVE
from torch import nn

from vireid_plugins.config import get_cfg
from vireid_plugins.errors import ConfigError
from vireid_plugins.layers.centers import centers
from vireid_plugins.methods.icre.losses import ICG, center_guided, center_tolerance
from vireid_plugins.modeling import Branch, LossInputs
from vireid_plugins.modeling.losses import LabelSmoothCE

# Two views of each modality, of three identities with two instances.
Y = torch.tensor([5, 5, 2, 2, 9, 9]).repeat(4)
MODALITIES = torch.tensor([0] * 12 + [1] * 12)


def test_icg_separates_the_centers_of_two_identities_by_hand() -> None:
    """Both modalities of one identity at 0 (three rows) and of the other at 0.5 (two): one distance of 0.5."""
    x = torch.tensor([[0.0], [0.0], [0.5], [0.0], [0.5]])
    y = torch.tensor([3, 3, 7, 3, 7])
    assert center_tolerance(x, y, 3, 0.01, 0.7).item() == pytest.approx(0.2)
    assert center_tolerance(x, y, 3, 0.01, 0.5).item() == 0


def test_icg_without_tolerance_and_separation_is_the_plain_pull() -> None:
    x = torch.randn(24, 5, dtype=torch.double)
    other = torch.cat([centers(x[12:], Y[12:], Y[:12]), centers(x[:12], Y[:12], Y[12:])])
    pull = (x - other).norm(dim=1).mean()
    assert center_tolerance(x, Y, 12, 0.0, 0.0).item() == pytest.approx(pull.item(), rel=1e-12)
    # A margin that no distance reaches leaves the pull of the hinge form.
    far = x + 1e3 * Y[:, None]
    assert center_guided(far, Y, 12, 0.3).item() == pytest.approx(pull.item(), rel=1e-9)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("form", ["tolerance", "hinge"])
def test_icg_of_uneven_identities_equals_the_naive_loops(form: str, normalize: bool, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    y = torch.tensor([1, 1, 1, 4, 4, 8, 1, 4, 4, 4, 8, 8])
    x = torch.randn(12, 3, dtype=torch.double, generator=generator)
    inputs = LossInputs({"global": Branch(x, x, x)}, y, torch.tensor([0] * 6 + [1] * 6), torch.zeros(12))
    loss = ICG(form=form, normalize=normalize, rho1=0.4, rho2=1.2, scale=1.0)
    assert loss(inputs)["icg"].item() == pytest.approx(NAIVE["ICG"](loss, inputs).item(), rel=1e-9)


def test_icg_of_one_identity_is_the_pull_alone() -> None:
    x = torch.randn(6, 4, dtype=torch.double, requires_grad=True)
    y = torch.zeros(6, dtype=torch.long)
    pull = (x - torch.cat([x[4:].mean(0).expand(4, -1), x[:4].mean(0).expand(2, -1)])).norm(dim=1).mean()
    for found in (center_guided(x, y, 4, 0.3), center_tolerance(x, y, 4, 0.0, 9.0)):
        assert found.item() == pytest.approx(pull.item(), rel=1e-12)
        gradients = [torch.autograd.grad(value, x, retain_graph=True)[0] for value in (found, pull)]
        torch.testing.assert_close(*gradients)


def test_icg_on_normalized_features_does_not_see_their_length() -> None:
    x = torch.randn(24, 5)
    values = {}
    for factor in (1, 40):
        scaled = factor * x
        inputs = LossInputs({"global": Branch(scaled, scaled, scaled)}, Y, MODALITIES, torch.zeros(24))
        values[factor] = {n: ICG(normalize=n)(inputs)["icg"].item() for n in (True, False)}
    assert values[40][True] == pytest.approx(values[1][True], rel=1e-5)
    assert values[40][False] > 10 * values[1][False]


def last_cross_entropy(icg: ICG, identities: int = 16, steps: int = 100) -> float:
    """CE after a training of points of 16 people in two modalities, whose features are some 20 from their mean."""
    torch.manual_seed(0)
    people, shift = torch.randn(identities, 32), torch.randn(2, 32)
    body = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 64))
    neck, classifier = nn.BatchNorm1d(64), nn.Linear(64, identities, bias=False)
    nn.init.normal_(classifier.weight, std=0.01)
    with torch.no_grad():
        body[2].weight.mul_(8)
    parameters = [p for module in (body, neck, classifier) for p in module.parameters()]
    optimizer = torch.optim.SGD(parameters, lr=0.1, momentum=0.9)
    y = torch.arange(identities).repeat_interleave(2).repeat(2)
    modalities = torch.tensor([0, 1]).repeat_interleave(2 * identities)
    found = []
    for _ in range(steps):
        pooled = body(people[y] + shift[modalities] + torch.randn(len(y), 32))
        after = neck(pooled)
        inputs = LossInputs({"global": Branch(pooled, after, classifier(after))}, y, modalities, torch.zeros(len(y)))
        cross_entropy = LabelSmoothCE(epsilon=0.0)(inputs)["label_smooth_ce"]
        optimizer.zero_grad()
        (cross_entropy + icg(inputs)["icg"]).backward()
        optimizer.step()
        found.append(cross_entropy.item())
    return sum(found[-10:]) / 10


@pytest.mark.parametrize("form", ["tolerance", "hinge"])
def test_icg_lets_cross_entropy_fall_on_normalized_features_alone(form: str) -> None:
    """On raw ones the pull ends in a point and CE stays at log 16 = 2.77, which is why they are normalized."""
    assert last_cross_entropy(ICG(form=form)) < 0.2
    assert last_cross_entropy(ICG(form=form, normalize=False)) > 2


@pytest.mark.parametrize(
    ("keys", "rho1"),
    [({}, 0.01), ({"form": "hinge"}, 0.3), ({"rho1": 0.2}, 0.2), ({"form": "hinge", "rho1": 0.0}, 0.0)],
)
def test_icg_rho1_is_the_forms_own_unless_given(keys: dict[str, Any], rho1: float) -> None:
    cfg = get_cfg()
    for key, value in keys.items():
        cfg.merge_from_list([f"MODEL.LOSSES.ICG.{key.upper()}", str(value)])
    assert ICG.from_config(cfg).rho1 == ICG(**keys).rho1 == rho1
    assert ICG(**keys).rho2 == 0.7


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("FORM", "margin", "ICG.FORM: unknown value 'margin'; available: hinge, tolerance"),
        ("RHO1", "-0.1", "ICG.RHO1: must be a number of at least 0, got -0.1"),
        ("RHO1", "little", "ICG.RHO1: must be a number of at least 0, got 'little'"),
        ("RHO2", "-1.0", "ICG.RHO2: must be a number of at least 0, got -1.0"),
    ],
)
def test_icg_from_config_of_an_unreadable_value_is_one_error(key: str, value: str, message: str) -> None:
    cfg = get_cfg()
    cfg.merge_from_list([f"MODEL.LOSSES.ICG.{key}", value])
    with pytest.raises(ConfigError, match=message):
        ICG.from_config(cfg)
