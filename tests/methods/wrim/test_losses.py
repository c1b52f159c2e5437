import math

import pytest
import torch
from fastreid.utils.events import EventStorage
from reference import contrast
from torch import Tensor

from vireid_plugins.config import config_path, get_cfg
from vireid_plugins.errors import ConfigError
from vireid_plugins.methods.wrim.losses import CMKIC, cmkic
from vireid_plugins.modeling import LossInputs

TAU = 0.1


def points(identities: int, instances: int, dim: int = 6) -> tuple[Tensor, Tensor, Tensor]:
    rows = identities * instances
    generator = torch.Generator().manual_seed(identities * 10 + instances)
    z = torch.randn(2, rows, dim, dtype=torch.double, generator=generator)
    return z[0], z[1], torch.arange(identities).repeat_interleave(instances)


@pytest.mark.parametrize("other_positives", [False, True])
@pytest.mark.parametrize("k_hard", [0, 1, 2, 4, 9])
@pytest.mark.parametrize(("identities", "instances"), [(2, 1), (3, 4), (5, 3)])
def test_cmkic_equals_the_naive_loops(identities: int, instances: int, k_hard: int, other_positives: bool) -> None:
    z_v, z_i, y = points(identities, instances)
    expected = contrast.cmkic(z_v, z_i, y, y, TAU, k_hard, other_positives).item()
    assert cmkic(z_v, z_i, y, y, TAU, k_hard, other_positives).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("other_positives", [False, True])
def test_cmkic_of_uneven_identities_and_lone_anchors_equals_the_naive_loops(other_positives: bool) -> None:
    z_v, z_i, _ = points(3, 3)
    y_v, y_i = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2, 3]), torch.tensor([0, 1, 1, 1, 1, 2, 2, 4, 4])
    expected = contrast.cmkic(z_v, z_i, y_v, y_i, TAU, other_positives=other_positives).item()
    found = cmkic(z_v, z_i, y_v, y_i, TAU, other_positives=other_positives).item()
    assert found == pytest.approx(expected, rel=1e-9)


def test_cmkic_denominators_agree_at_one_positive_and_differ_at_collapse() -> None:
    z_v, z_i, y = points(4, 1)
    assert cmkic(z_v, z_i, y, y).item() == pytest.approx(cmkic(z_v, z_i, y, y, other_positives=True).item())
    y = torch.arange(4).repeat_interleave(3)
    together = torch.ones(12, 5)
    assert cmkic(together, together, y, y, other_positives=True).item() == pytest.approx(2 * math.log(3 + 9))
    alone = torch.zeros(12, dtype=torch.long)
    assert cmkic(together, together, alone, alone, other_positives=True).item() == pytest.approx(2 * math.log(12))


def test_cmkic_with_positives_in_the_denominator_is_supervised_contrast() -> None:
    z_v, z_i, y = points(3, 4)
    s = torch.nn.functional.normalize(z_v) @ torch.nn.functional.normalize(z_i).T / TAU
    same = y[:, None] == y
    expected = sum(-matrix.log_softmax(1)[same].mean() for matrix in (s, s.T))
    assert cmkic(z_v, z_i, y, y, TAU, 4, other_positives=True).item() == pytest.approx(expected.item())


def test_cmkic_of_two_orthogonal_identities_is_its_value_by_hand() -> None:
    """Two identities at right angles, one instance each: log(1 + e^-1) in each direction at tau 1."""
    z = torch.eye(2)
    y = torch.tensor([0, 1])
    assert cmkic(z, z, y, y, temperature=1.0).item() == pytest.approx(2 * math.log(1 + math.exp(-1)))


def test_cmkic_over_all_positives_is_symmetric_and_above_one_direction() -> None:
    z_v, z_i, y = points(3, 4)
    s = torch.nn.functional.normalize(z_v) @ torch.nn.functional.normalize(z_i).T / TAU
    same = y[:, None] == y
    lse = torch.stack(
        [torch.cat([s[i, same[i]][j : j + 1], s[i, ~same[i]]]).logsumexp(0) for i in range(12) for j in range(4)]
    ).view(12, 4)
    one_way = (lse - s[same].view(12, 4)).mean()
    both = cmkic(z_v, z_i, y, y, TAU, k_hard=4)
    other = cmkic(z_i, z_v, y, y, TAU, k_hard=4)
    assert both.item() == pytest.approx(other.item())
    assert one_way < both


def test_cmkic_of_the_hardest_positives_costs_the_most() -> None:
    z_v, z_i, y = points(4, 4)
    values = [cmkic(z_v, z_i, y, y, TAU, k).item() for k in (1, 2, 3, 4)]
    assert values == sorted(values, reverse=True)


def test_cmkic_of_one_identity_is_zero_with_a_zero_gradient() -> None:
    z_v, z_i, _ = points(2, 3)
    y = torch.zeros(6, dtype=torch.long)
    z_v.requires_grad_()
    value = cmkic(z_v, z_i, y, y)
    value.backward()
    assert value.item() == 0
    assert z_v.grad is not None
    assert torch.equal(z_v.grad, torch.zeros_like(z_v))


def test_cmkic_is_near_zero_when_separated_and_log_of_the_crowd_at_collapse() -> None:
    y = torch.arange(4).repeat_interleave(3)
    apart = torch.eye(4).repeat_interleave(3, 0)
    assert cmkic(apart, apart, y, y).item() < 1e-2
    together = torch.ones(12, 5)
    assert cmkic(together, together, y, y).item() == pytest.approx(2 * math.log(1 + 9))


@pytest.mark.parametrize("other_positives", [False, True])
def test_cmkic_gradients_equal_numerical_ones(other_positives: bool) -> None:
    z_v, z_i, y = points(3, 2, 4)
    inputs = z_v.requires_grad_(), z_i.requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: cmkic(a, b, y, y, 0.5, 0, other_positives), inputs)


def test_cmkic_module_splits_by_modality_and_runs_in_float32_under_autocast() -> None:
    z_v, z_i, y = points(3, 2)
    z = torch.cat([z_v, z_i]).float()
    modalities = torch.tensor([0] * 6 + [1] * 6)
    inputs = LossInputs({}, y.repeat(2), modalities, torch.zeros(12), z)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = CMKIC(scale=3.0)(inputs)
    assert found["cmkic"].dtype == torch.float32
    assert found["cmkic"].item() == pytest.approx(3 * contrast.cmkic(z_v, z_i, y, y).item(), rel=1e-5)
    half = LossInputs({}, y.repeat(2), modalities, torch.zeros(12), z.bfloat16())
    assert CMKIC()(half)["cmkic"].dtype == torch.float32
    assert not CMKIC().applies(LossInputs({}, y, modalities, modalities))


def small_inputs() -> LossInputs:
    z_v, z_i, y = points(3, 2)
    return LossInputs({}, y.repeat(2), torch.tensor([0] * 6 + [1] * 6), torch.zeros(12), torch.cat([z_v, z_i]))


def test_cmkic_ramp_rises_linearly_with_the_iteration_of_the_run() -> None:
    inputs = small_inputs()
    full = CMKIC(scale=3.0)(inputs)["cmkic"].item()
    loss = CMKIC(scale=3.0, ramp_iters=10)
    # A run that is resumed at its seventh step opens a storage that starts there.
    for start in (0, 7):
        with EventStorage(start) as storage:
            for iteration in range(start, 13):
                storage.iter = iteration
                assert loss(inputs)["cmkic"].item() == pytest.approx(full * min(1.0, iteration / 10))
                assert CMKIC(scale=3.0)(inputs)["cmkic"].item() == full
    # Outside of a run.
    assert loss(inputs)["cmkic"].item() == full


def test_cmkic_ramp_at_its_first_step_has_a_gradient_of_zero_and_not_none() -> None:
    z = torch.randn(12, 4, requires_grad=True)
    y = torch.arange(3).repeat_interleave(2).repeat(2)
    with EventStorage(0):
        CMKIC(ramp_iters=10)(LossInputs({}, y, torch.tensor([0] * 6 + [1] * 6), torch.zeros(12), z))["cmkic"].backward()
    assert z.grad is not None
    assert torch.equal(z.grad, torch.zeros_like(z))


def test_cmkic_ramp_of_the_recipes_is_their_warm_up() -> None:
    for name in ("SYSU/wrim.yml", "RegDB/wrim.yml", "LLCM/wrim.yml", "demo/wrim.yml"):
        cfg = get_cfg()
        cfg.merge_from_file(config_path(name))
        assert CMKIC.from_config(cfg).ramp_iters == cfg.SOLVER.WARMUP_ITERS > 0, name
        # Negatives: 16 identities at least.
        assert cfg.SOLVER.IMS_PER_BATCH // (2 * cfg.DATALOADER.NUM_INSTANCE) >= 16, name


def test_cmkic_ramp_below_zero_is_one_error() -> None:
    with pytest.raises(ConfigError, match=r"CMKIC.RAMP_ITERS: must be at least 0 \(no ramp\), got -1"):
        CMKIC(ramp_iters=-1)
