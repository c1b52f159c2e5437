"""What is written of a run: every evaluation once."""

import json
import sys
from pathlib import Path

import pytest
from fastreid.utils.env import seed_all_rng
from fastreid.utils.events import EventStorage, TensorboardXWriter
from helpers import small_cfg

from vireid_plugins.engine import Trainer
from vireid_plugins.engine.hooks.writers import Writers, events_writer


@pytest.mark.parametrize(("period", "at"), [(1, [1, 2]), (3, [2])], ids=["every-epoch", "at-the-end"])
@pytest.mark.usefixtures("little_root")
def test_writers_write_every_evaluation_once(tmp_path: Path, period: int, at: list[int]) -> None:
    """Where the writers' period ends with an epoch as well, and where the last epoch is evaluated after it."""
    overrides = ("OUTPUT_DIR", str(tmp_path), "SOLVER.MAX_EPOCH", "2", "TEST.EVAL_PERIOD", str(period))
    cfg = small_cfg("SYSU/one_stream.yml", *overrides, "TEST.PROTOCOLS", "['sysu/agw/all/1shot']")
    seed_all_rng(0)
    trainer = Trainer(cfg)
    steps = trainer.iters_per_epoch
    (writers,) = (hook for hook in trainer._hooks if isinstance(hook, Writers))
    writers._period = steps
    scores = trainer.train()
    lines = [json.loads(line) for line in (tmp_path / "metrics.json").read_text().splitlines()]
    evaluated = [line for line in lines if "metric" in line]
    assert [round(line["iteration"] / steps) for line in evaluated] == at
    assert evaluated[-1]["metric"] == pytest.approx(scores["metric"])
    assert all(set(line) - {"eta_seconds", "iteration"} for line in lines)
    # Losses of both epochs, once.
    assert [line["iteration"] for line in lines if "total_loss" in line] == [steps - 1, 2 * steps - 1]


def test_events_writer_opens_its_file_with_the_first_scalars(tmp_path: Path) -> None:
    writer = events_writer(tmp_path)
    assert isinstance(writer, TensorboardXWriter)
    assert not list(tmp_path.iterdir())
    with EventStorage(3) as storage:
        storage.put_scalar("loss", 2.0)
        writer.write()
    writer.close()
    (file,) = tmp_path.iterdir()
    assert b"loss" in file.read_bytes()
    assert writer._last_write == 3


def test_events_writer_without_scalars_leaves_no_file(tmp_path: Path) -> None:
    events_writer(tmp_path).close()
    assert not list(tmp_path.iterdir())


def test_events_writer_without_tensorboard_says_so_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ImportError, match=r"torch\.utils\.tensorboard"):
        events_writer(tmp_path)
