"""An evaluation that fails costs no training, and the best checkpoint is the one whose evaluation was the best."""

from pathlib import Path
from typing import Any

import pytest
import torch
from fastreid.utils.env import seed_all_rng
from helpers import small_cfg

from vireid_plugins.engine import Trainer
from vireid_plugins.engine.checkpoint import load_checkpoint
from vireid_plugins.errors import DataError

KEYS = [
    "MODEL.STREAMS.BACKBONE", "build_osnet_backbone", "MODEL.BACKBONE.DEPTH", "x0_25", "SOLVER.STEPS", "[1]",
    "TEST.PROTOCOLS", "['sysu/agw/all/1shot']",
]  # fmt: skip


def trainer_of(folder: Path, *overrides: str) -> Trainer:
    seed_all_rng(0)
    return Trainer(small_cfg("SYSU/one_stream.yml", "OUTPUT_DIR", str(folder), *KEYS, *overrides))


def failing_at(trainer: Trainer, epoch: int) -> None:
    """Make the evaluation of an epoch fail."""
    evaluate = trainer.evaluations.evaluate

    def fails() -> Any:
        if trainer.epoch == epoch:
            raise DataError("the disk is gone")
        return evaluate()

    trainer.evaluations.evaluate = fails


@pytest.mark.usefixtures("little_root")
@pytest.mark.parametrize(
    ("epoch", "period", "every"),
    [
        (1, "1", "5"),
        pytest.param(0, "5", "1", marks=pytest.mark.slow),
        pytest.param(0, "1", "1", marks=pytest.mark.slow),
        pytest.param(1, "1", "1", marks=pytest.mark.slow),
    ],
)
def test_evaluation_that_failed_is_all_that_a_resumed_run_repeats(
    tmp_path: Path, epoch: int, period: str, every: str
) -> None:
    keys = ["SOLVER.MAX_EPOCH", "2", "SOLVER.CHECKPOINT_PERIOD", period, "TEST.EVAL_PERIOD", every]
    whole = trainer_of(tmp_path / "whole", *keys)
    scores = whole.train()
    cut = trainer_of(tmp_path / "cut", *keys)
    failing_at(cut, epoch)
    with pytest.raises(DataError, match="the disk is gone"):
        cut.train()
    kept = load_checkpoint(tmp_path / "cut" / "last.pth")
    assert (kept["epoch"], kept["unscored"]) == (epoch, True)
    resumed = trainer_of(tmp_path / "cut", *keys)
    resumed.resume_or_load(resume=True)
    steps: list[int] = []
    run_step = resumed.run_step
    resumed.run_step = lambda: (steps.append(resumed.iter), run_step())
    assert resumed.train() == scores
    assert len(steps) == (1 - epoch) * whole.iters_per_epoch
    final = [load_checkpoint(tmp_path / name / "last.pth") for name in ("whole", "cut")]
    assert "unscored" not in final[1]
    for name, tensor in final[0]["model"].items():
        assert torch.equal(tensor, final[1]["model"][name]), name
    for key in ("random_state", "checkpoints", "metric"):
        assert str(final[0][key]) == str(final[1][key]), key
    lines = [(tmp_path / name / "metrics.json").read_text().count("mAP") for name in ("whole", "cut")]
    assert lines[0] == lines[1] > 0


@pytest.mark.usefixtures("little_root")
def test_model_best_has_the_score_and_epoch_of_the_evaluation_that_found_it(tmp_path: Path) -> None:
    """Evaluations and checkpoints have different periods, and the best evaluation is of an epoch without either."""
    keys = ["SOLVER.MAX_EPOCH", "5", "SOLVER.CHECKPOINT_PERIOD", "3", "TEST.EVAL_PERIOD", "2"]
    keys += ["SOLVER.CHECKPOINT_KEEP", "1"]
    trainer = trainer_of(tmp_path, *keys)
    given = {1: 10.0, 3: 40.0, 4: 20.0}
    trainer.evaluations.evaluate = lambda: {"metric": given[trainer.epoch]}
    trainer.train()
    found = {name: load_checkpoint(tmp_path / f"{name}.pth") for name in ("model_best", "model_0002", "model_final")}
    assert {name: (one["epoch"], one.get("metric")) for name, one in found.items()} == {
        "model_best": (3, 40.0),
        "model_0002": (2, None),
        "model_final": (4, 20.0),
    }
    assert load_checkpoint(tmp_path / "last.pth")["metric"] == 20.0


@pytest.mark.usefixtures("little_root")
def test_training_that_fails_in_its_first_step_raises_that_error(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path)
    trainer.before_train = lambda: (_ for _ in ()).throw(ZeroDivisionError("first"))
    with pytest.raises(ZeroDivisionError, match="first"):
        trainer.train()
