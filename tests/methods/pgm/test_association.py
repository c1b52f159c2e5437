import numpy as np
import pytest
import torch
from cluster_inputs import Floats, fixture, unit

from vireid_plugins.errors import ConfigError
from vireid_plugins.methods.pgm import PGM, matched

RS = np.random.RandomState
# Number, visible and infrared clusters.
MATCHINGS = {"more": (0, 20, 13), "equal": (1, 13, 13), "fewer": (2, 12, 19), "double": (3, 30, 12)}
NONE = -1


def means(case: str) -> tuple[Floats, Floats]:
    """Visible and infrared cluster means, normalized."""
    number, visible, infrared = MATCHINGS[case]
    r = [RS(45000 + 10 * number + k) for k in range(5)]
    base = r[0].standard_normal((16, 32))
    v = base[r[1].randint(0, 16, visible)] + 0.8 * r[2].standard_normal((visible, 32))
    i = base[r[3].randint(0, 16, infrared)] + 0.8 * r[4].standard_normal((infrared, 32))
    return unit(v), unit(i)


def maps(case: str, **options: object) -> tuple[Floats, Floats]:
    memories = dict(zip(("visible", "infrared"), map(torch.from_numpy, means(case)), strict=True))
    association, after = PGM(**options)({}, {}, memories)  # type: ignore[arg-type]
    assert all(torch.equal(after[name], rows) for name, rows in memories.items())
    none = [torch.full((len(memories[name]),), NONE) for name in memories]
    return association.get("r2i", none[0]).numpy(), association.get("i2r", none[1]).numpy()


@pytest.mark.parametrize("case", ["more", "equal", "fewer"])
@pytest.mark.parametrize(("dataset", "if_fewer"), [("sysu", "skip"), ("regdb", "swap")])
def test_pgm_equals_released_maps(case: str, dataset: str, if_fewer: str) -> None:
    r2i, i2r = maps(case, if_fewer=if_fewer)
    np.testing.assert_array_equal(r2i, fixture("pgm")[f"c_{case}_{dataset}_r2i"])
    np.testing.assert_array_equal(i2r, fixture("pgm")[f"c_{case}_{dataset}_i2r"])


@pytest.mark.parametrize("case", MATCHINGS)
def test_matched_equals_released_first_round(case: str) -> None:
    visible, infrared = means(case)
    cost = np.exp(-visible @ infrared.T)
    np.testing.assert_allclose(cost, fixture("pgm")[f"c_{case}_cost"], rtol=1e-12)
    larger, smaller = matched(cost if len(visible) >= len(infrared) else cost.T, rounds=1)
    np.testing.assert_array_equal(larger, fixture("pgm")[f"c_{case}_first_round"])
    total = cost[smaller, np.arange(len(smaller))] if len(visible) >= len(infrared) else cost.T[smaller, range(12)]
    np.testing.assert_allclose(total.sum(), fixture("pgm")[f"c_{case}_first_cost"], rtol=1e-12)


@pytest.mark.parametrize("case", MATCHINGS)
def test_pgm_matches_every_cluster(case: str) -> None:
    found = maps(case)
    larger = found[0] if len(found[0]) >= len(found[1]) else found[1]
    np.testing.assert_array_equal(larger, fixture("pgm")[f"c_{case}_ours_all_rounds"])
    assert (np.concatenate(found) != NONE).all()


def test_pgm_of_two_rounds_gives_a_cluster_the_partner_of_its_own_assignment() -> None:
    """The released code gives most of round 2 another cluster's partner."""
    r2i, _ = maps("double", rounds=2)
    every, _ = maps("double")
    np.testing.assert_array_equal(r2i[r2i != NONE], every[r2i != NONE])
    assert (r2i == NONE).sum() == 30 - 2 * 12
    released = fixture("pgm")["c_double_sysu_r2i"]
    assert (released != r2i).any()


def test_matched_with_an_empty_side_has_no_partners() -> None:
    larger, smaller = matched(np.empty((3, 0)))
    assert larger.tolist() == [NONE] * 3
    assert not len(smaller)


def test_pgm_refuses_values_out_of_range() -> None:
    with pytest.raises(ConfigError, match=r"PGM\.ROUNDS: must be 0 or more, got -1"):
        PGM(rounds=-1)
    with pytest.raises(ConfigError, match=r"PGM\.IF_FEWER.*available: skip, swap"):
        PGM(if_fewer="swop")
