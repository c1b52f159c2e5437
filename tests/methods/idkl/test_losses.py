import math

import numpy as np
import pytest
import torch
from helpers import ROOT, small_cfg
from torch import Tensor

from vireid_plugins.errors import ConfigError
from vireid_plugins.methods.idkl.alignments import (
    class_alignment,
    cross_alignment,
    divergence,
    instance_rows,
    mixture_alignment,
    off_diagonal,
    self_alignment,
)
from vireid_plugins.methods.idkl.losses import CSA, MDR, TGSA, IDKLInputs, purified_entropy, purified_relation
from vireid_plugins.modeling import Branch, LossInputs
from vireid_plugins.modeling.losses import hard_triplet

RELEASED = np.load(ROOT / "tests" / "fixtures" / "idkl_losses_seed11.npz")


def test_graph_alignment_of_few_points_is_its_value_by_hand() -> None:
    assert off_diagonal(torch.arange(9.0).view(3, 3)).tolist() == [[1, 2], [3, 5], [6, 7]]
    # Two points: no off-diagonal choice, so their graphs agree whatever the distance.
    assert self_alignment(torch.tensor([[0.0], [1.0]]), torch.tensor([[0.0], [9.0]])).item() == 0
    # Even against (3/4, 1/4): KL = 1/2 log(2/3) + 1/2 log 2.
    a, b = torch.zeros(1, 2), torch.tensor([[math.log(3.0), 0.0]])
    assert divergence(a, b).item() == pytest.approx(0.5 * math.log(2 / 3) + 0.5 * math.log(2))


def test_graph_alignment_of_equal_and_collapsed_features_is_zero() -> None:
    same = torch.randn(6, 4)
    assert self_alignment(same, same).item() == pytest.approx(0, abs=1e-6)
    assert class_alignment(same, same, instances=2).item() == pytest.approx(0, abs=1e-6)
    x = torch.ones(6, 4, requires_grad=True)
    for value in (cross_alignment(x, x.clone()), mixture_alignment(x, x.clone()), class_alignment(x, x, 2)):
        assert value.item() == pytest.approx(0, abs=1e-6)
        value.backward()
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize("function", [cross_alignment, self_alignment, mixture_alignment, class_alignment])
def test_graph_alignment_gradients_equal_numerical_ones(function) -> None:
    a, b = (torch.randn(4, 3, dtype=torch.double, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(function, (a, b))


@pytest.fixture
def values() -> dict[str, Tensor]:
    return {name: torch.from_numpy(RELEASED[name]).requires_grad_() for name in ("fV", "fI", "sV", "sI")}


def released(name: str, x: dict[str, Tensor]) -> Tensor:
    """The term of the released code called `name`."""
    w, w_s = torch.from_numpy(RELEASED["W"]), torch.from_numpy(RELEASED["Ws"])
    z = {key: value @ (w if key.startswith("f") else w_s).T for key, value in x.items()}
    both = ("symmetric", "batchmean")
    y = torch.arange(12).repeat_interleave(5)

    def instance_wise(a: str, b: str) -> Tensor:
        return divergence(instance_rows(z[a], 5), instance_rows(z[b], 5), *both)

    terms = {
        "tgsa_inter_V": lambda: self_alignment(x["fV"], x["sV"], *both),
        "tgsa_inter_I": lambda: self_alignment(x["fI"], x["sI"], *both),
        "tgsa_intra": lambda: mixture_alignment(x["fV"], x["fI"], *both),
        "csa_inter": lambda: divergence(z["fV"], z["sV"], *both) + divergence(z["fI"], z["sI"], *both),
        "csa_intra": lambda: divergence(z["fV"], z["fI"], *both),
        "sm_inter": lambda: instance_wise("fV", "sV") + instance_wise("fI", "sI"),
        "sm_intra": lambda: instance_wise("fV", "fI"),
        "L_e": lambda: purified_entropy(z["sV"], z["fV"], "released"),
        "L_r": lambda: purified_relation(
            torch.cat([x["sV"], x["sI"]]), torch.cat([x["fV"], x["fI"]]), y.repeat(2), 60, "released"
        ),
        "triplet13": lambda: hard_triplet(torch.cat([x["fV"], x["fI"]]), y.repeat(2), 1.3),
    }
    return terms[name]()


@pytest.mark.parametrize("name", [n for n in RELEASED.files if f"{n}_grad_fV_norm" in RELEASED.files])
def test_graph_alignment_and_idkl_terms_equal_released_values_and_gradients(
    name: str, values: dict[str, Tensor]
) -> None:
    value = released(name, values)
    value.backward()
    assert value.item() == pytest.approx(float(RELEASED[name]), rel=1e-5)
    for key, x in values.items():
        norm = 0.0 if x.grad is None else x.grad.norm().item()
        assert norm == pytest.approx(float(RELEASED[f"{name}_grad_{key}_norm"]), rel=1e-4, abs=1e-6)


def inputs() -> IDKLInputs:
    torch.manual_seed(0)
    shared = Branch(torch.randn(8, 6), torch.randn(8, 6), torch.randn(8, 5))
    specific = Branch(torch.randn(8, 6), torch.randn(8, 6), torch.randn(8, 5))
    return IDKLInputs(
        {"sh": shared},
        torch.arange(2).repeat_interleave(2).repeat(2),
        torch.tensor([0] * 4 + [1] * 4),
        torch.zeros(8),
        specific=specific,
    )


def test_tgsa_csa_and_mdr_are_these_functions() -> None:
    b = inputs()
    f, z = b.branches["sh"].pooled, b.branches["sh"].logits
    s, z_s = b.specific.pooled, b.specific.logits
    expected = cross_alignment(s[:4], f[:4]) + cross_alignment(s[4:], f[4:])
    torch.testing.assert_close(TGSA(scale=0.6)(b)["tgsa"], 0.6 * expected)
    expected = self_alignment(s[:4], f[:4]) + self_alignment(s[4:], f[4:])
    torch.testing.assert_close(TGSA(form="mixture", kl="symmetric", scale=1.0)(b)["tgsa"], expected)
    expected = class_alignment(z[:4], z_s[:4], 2) + class_alignment(z[4:], z_s[4:], 2)
    torch.testing.assert_close(CSA(instances=2, scale=1.0)(b)["csa"], expected)
    found = MDR()(b)
    torch.testing.assert_close(found["mdr_class"], class_alignment(z[:4], z[4:]))
    torch.testing.assert_close(found["mdr_graph"], cross_alignment(f[:4], f[4:]))
    assert set(MDR(graph=False)(b)) == {"mdr_class"}
    assert not TGSA().applies(LossInputs({}, b.targets, b.modalities, b.views))


def test_tgsa_csa_and_mdr_from_config_read_their_keys_and_refuse_misfits() -> None:
    cfg = small_cfg("SYSU/idkl_released.yml", "DATALOADER.NUM_INSTANCE", "4")
    assert CSA.from_config(cfg).instances == 4
    assert CSA.from_config(small_cfg("SYSU/idkl.yml")).instances == 0
    with pytest.raises(
        ConfigError, match=r"MODEL\.LOSSES\.TGSA\.FORM: unknown value 'half'; available: cross, mixture"
    ):
        TGSA(form="half")
    with pytest.raises(ConfigError, match=r"MODEL\.LOSSES\.CSA\.KL"):
        CSA(kl="both")
    with pytest.raises(ConfigError, match=r"18 is 9 images per modality.*multiple of 4"):
        MDR.from_config(small_cfg("SYSU/idkl_released.yml", "SOLVER.IMS_PER_BATCH", "18"))
    # Only the mixture of graphs halves: nothing else is refused.
    for keys in (["MODEL.LOSSES.MDR.FORM", "cross"], ["MODEL.LOSSES.MDR.GRAPH", "False"]):
        MDR.from_config(small_cfg("SYSU/idkl_released.yml", "SOLVER.IMS_PER_BATCH", "18", *keys))
    MDR.from_config(small_cfg("SYSU/idkl_released.yml", "SOLVER.IMS_PER_BATCH", "16"))
    with pytest.raises(ValueError, match="P x K is even"):
        mixture_alignment(torch.randn(5, 2), torch.randn(5, 2))
