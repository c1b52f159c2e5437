"""Every loss equals loops over images, in value and gradient, at double precision."""

from typing import Any

import pytest
import torch
from reference.inputs import random_inputs
from reference.losses import NAIVE

from vireid_plugins.config.check import registered
from vireid_plugins.modeling import LossInputs
from vireid_plugins.modeling.losses import LOSS_REGISTRY

FORMS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in NAIVE),
    ("LabelSmoothCE", {"epsilon": 0.0}),
    ("CMKIC", {"k_hard": 1}),
    ("CMKIC", {"other_positives": True}),
    ("WeightedTriplet", {"released_eps": True}),
    ("SquaredDifferenceTriplet", {"gamma": 0.5, "released_eps": True}),
    ("QCT", {"quad_weight": 0.4, "margin": 9.0}),
    ("QCT", {"quad_weight": 1.0}),
    ("TGSA", {"form": "mixture", "kl": "symmetric"}),
    ("TGSA", {"kl": "reversed", "reduction": "sum"}),
    ("TGSA", {"form": "mixture", "reduction": "sum"}),
    ("CSA", {"instances": 2, "kl": "symmetric"}),
    ("CSA", {"instances": 2, "reduction": "sum"}),
    ("MDR", {"form": "mixture", "kl": "symmetric", "instances": 2}),
    ("MDR", {"form": "mixture", "kl": "reversed", "instances": 2, "reduction": "sum"}),
    ("MDR", {"kl": "symmetric", "reduction": "sum"}),
    ("MDR", {"graph": False}),
    ("ICG", {"rho1": 0.3, "rho2": 1.4}),
    ("ICG", {"normalize": False, "rho2": 9.0}),
    ("ICG", {"form": "hinge", "rho1": 9.0}),
    ("ICG", {"form": "hinge", "normalize": False, "rho1": 9.0}),
    ("Purification", {"form": "released"}),
    ("ModalityHeads", {"confuser_labels": "pseudo"}),
    ("ModalityHeads", {"reduction": "mean"}),
    ("CenterCluster", {"margin": 9.0, "tolerance": 0.4}),
    ("MutualTeaching", {"form": "soft_ce"}),
    ("PartDiversity", {"form": "cos"}),
]


def double(inputs: LossInputs) -> tuple[LossInputs, list[torch.Tensor]]:
    """The inputs in double precision, with leaves of their own."""
    leaves: list[torch.Tensor] = []

    def leaf(x: torch.Tensor) -> torch.Tensor:
        if not x.is_floating_point():
            return x
        leaves.append(x.detach().double().requires_grad_())
        return leaves[-1]

    return inputs.mapped(leaf, lambda column: column), leaves


# Rows that are left out of three images each of four identities in two modalities.
UNEVEN = {
    # Identity 2 has two visible images, identity 1 two infrared ones, the others three.
    "identities": (7, 17),
    # One infrared image less than visible ones.
    "modalities": (16,),
    # Identity 3 has no infrared image.
    "missing": (21, 22, 23),
}
# What a sampler of identities must not give them, and what loops over both modalities' centers do not have.
NEEDS_HALVES, NEEDS_BOTH = ("CSA", "MDR"), ("HeteroCenter", "QCT", "ICG", "CPM", "Purification")


@pytest.mark.parametrize(
    ("case", "name", "keys"),
    [
        (case, name, keys)
        for case in UNEVEN
        for name, keys in FORMS
        if name not in NEEDS_HALVES and not (case == "missing" and name in NEEDS_BOTH)
    ],
)
def test_losses_of_uneven_identities_equal_their_naive_form(case: str, name: str, keys: dict[str, Any]) -> None:
    whole = random_inputs(4, 3, (1, 1), width=6, classes=6)[0]
    rows = len(whole.targets)
    kept = torch.ones(rows, dtype=torch.bool)
    kept[list(UNEVEN[case])] = False
    uneven = whole.mapped(lambda x: x[kept.repeat(len(x) // rows)], lambda column: column[kept])
    assert_equals_naive(name, keys, uneven)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("name", "keys"), FORMS)
def test_losses_equal_their_naive_form_in_value_and_gradient(name: str, keys: dict[str, Any], seed: int) -> None:
    assert_equals_naive(name, keys, random_inputs(3, 2, (2, 2), width=6, classes=5, seed=seed)[0])


def assert_equals_naive(name: str, keys: dict[str, Any], inputs: LossInputs) -> None:
    """Value, and gradient by every tensor."""
    loss = LOSS_REGISTRY.get(name)(**keys, scale=1.0)
    inputs, leaves = double(inputs)
    found, expected = sum(loss(inputs).values()), NAIVE[name](loss, inputs)
    assert found.item() == pytest.approx(expected.item(), rel=1e-9, abs=1e-12)
    gradients = [torch.autograd.grad(value, leaves, allow_unused=True) for value in (found, expected)]
    used = 0
    for ours, naive in zip(*gradients, strict=True):
        assert (ours is None) == (naive is None)
        if ours is not None and naive is not None:
            used += 1
            torch.testing.assert_close(ours, naive, rtol=1e-7, atol=1e-10)
    assert used


def test_naive_has_every_loss_of_this_package() -> None:
    own = [
        n
        for n in registered(LOSS_REGISTRY)
        if LOSS_REGISTRY.get(n).__module__ != "vireid_plugins.modeling.losses.fastreid_losses"
    ]
    # tests/unsupervised/test_memory.py has that of MemoryContrast, whose inputs are memories.
    assert sorted(own) == sorted([*NAIVE, "MemoryContrast"])
