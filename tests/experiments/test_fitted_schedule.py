"""A recipe's schedule at another number of epochs."""

import pytest

from vireid_plugins.config import load_config
from vireid_plugins.experiments.fitted_schedule import fitted

CPU = ["SOLVER.AMP.ENABLED", "False"]


def test_fitted_schedule_keeps_the_shares_of_the_run() -> None:
    cfg = load_config("SYSU/wrim.yml", ["SOLVER.MAX_EPOCH", "120", "SOLVER.STEPS", "[40, 90]"])
    assert cfg.SOLVER.WARMUP_ITERS == 2000
    shorter = load_config("SYSU/wrim.yml", fitted(cfg, 12)).SOLVER
    assert (shorter.MAX_EPOCH, list(shorter.STEPS), shorter.WARMUP_ITERS) == (12, [4, 9], 200)
    longer = load_config("SYSU/wrim.yml", fitted(cfg, 240)).SOLVER
    assert (longer.MAX_EPOCH, list(longer.STEPS), longer.WARMUP_ITERS) == (240, [80, 180], 4000)


def test_fitted_schedule_leaves_keys_that_are_given() -> None:
    words = fitted(load_config("SYSU/agw.yml"), 12, ["SOLVER.STEPS"])
    assert "SOLVER.MAX_EPOCH" in words
    assert "SOLVER.STEPS" not in words


def test_fitted_schedule_moves_both_sides_of_a_phase_together() -> None:
    cfg = load_config("SYSU/pmt.yml", CPU)
    at_8 = load_config("SYSU/pmt.yml", [*CPU, *fitted(cfg, 8)])
    assert at_8.INPUT.FIRST_EPOCHS == 2
    assert [row[1:] for row in at_8.MODEL.LOSSES.EPOCHS] == [[1, 2], [3, 0], [3, 0], [3, 0]]


@pytest.mark.parametrize("name", ["agw", "mpanet", "pmt", "rle", "saai"])
def test_fitted_schedule_of_one_epoch_is_a_run(name: str) -> None:
    cfg = load_config(f"SYSU/{name}.yml", CPU)
    assert load_config(f"SYSU/{name}.yml", [*CPU, *fitted(cfg, 1)]).SOLVER.MAX_EPOCH == 1
