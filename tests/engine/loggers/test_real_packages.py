"""W&B and MLflow themselves, from a first run to a resumed one; `make test-all` runs these."""

import json
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from fastreid.utils.env import seed_all_rng
from helpers import small_cfg

from vireid_plugins.engine import Trainer
from vireid_plugins.engine.checkpoint import load_checkpoint

pytest.importorskip("wandb", reason="needs the extras wandb and mlflow")
pytest.importorskip("mlflow", reason="needs the extras wandb and mlflow")
pytestmark = pytest.mark.slow
KEYS = [
    "MODEL.STREAMS.BACKBONE", "build_osnet_backbone", "MODEL.BACKBONE.DEPTH", "x0_25", "SOLVER.STEPS", "[1]",
    "TEST.PROTOCOLS", "sysu/agw/*",
]  # fmt: skip
SCORES = ["sysu/agw/all/1shot/mAP", "sysu/agw/indoor/1shot/Rank-1", "metric"]
BLOCK = 32768


@pytest.fixture(autouse=True)
def _nothing_goes_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "WANDB_MODE": "offline",
        "WANDB_ERROR_REPORTING": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_TRACKING_URI": "",
    }.items():
        monkeypatch.setenv(name, value)
    if not os.environ["MLFLOW_TRACKING_URI"]:
        monkeypatch.delenv("MLFLOW_TRACKING_URI")


def train(folder: Path, *overrides: str, resume: bool = False, dies_at: int = -1) -> Trainer:
    seed_all_rng(0)
    trainer = Trainer(small_cfg("SYSU/one_stream.yml", "OUTPUT_DIR", str(folder), *KEYS, *overrides))
    trainer.resume_or_load(resume=resume)
    run_step = trainer.run_step

    def step() -> None:
        if trainer.iter == dies_at:
            raise KeyboardInterrupt
        run_step()

    trainer.run_step = step
    if dies_at >= 0:
        with pytest.raises(KeyboardInterrupt):
            trainer.train()
    else:
        trainer.train()
    return trainer


def rows_of(folder: Path) -> dict[int, dict[str, float]]:
    """The lines of metrics.json by iteration."""
    lines = [json.loads(line) for line in (folder / "metrics.json").read_text().splitlines()]
    return {line.pop("iteration"): line for line in lines}


def records(file: Path) -> Iterator[Any]:
    """The records of an offline run of W&B, whose file has the blocks of LevelDB's log."""
    from wandb.proto import wandb_internal_pb2

    data, at, parts = file.read_bytes(), 7, b""
    while at + 7 <= len(data):
        if BLOCK - at % BLOCK < 7:
            at += BLOCK - at % BLOCK
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + 7])
        parts += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            yield wandb_internal_pb2.Record.FromString(parts)
            parts = b""


def wandb_runs(folder: Path) -> list[list[Any]]:
    return [list(records(file)) for file in sorted(folder.glob("wandb/offline-run-*/*.wandb"))]


def history(run: list[Any]) -> list[dict[str, float]]:
    """The rows that a run of W&B was sent."""
    rows = [record.history for record in run if record.WhichOneof("record_type") == "history"]
    return [{item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in row.item} for row in rows]


def found(run: list[Any], kind: str) -> list[Any]:
    return [getattr(record, kind) for record in run if record.WhichOneof("record_type") == kind]


@pytest.mark.usefixtures("little_root")
def test_wandb_and_mlflow_have_what_metrics_json_has_and_change_no_weights(tmp_path: Path) -> None:
    import mlflow

    loggers = ["LOGGERS", "['wandb', 'mlflow']"]
    two = ["SOLVER.MAX_EPOCH", "2", "SOLVER.BASE_LR", "0.0002"]
    plain = train(tmp_path / "plain", *two)
    logged = train(tmp_path / "logged", *two, *loggers)
    for (name, a), b in zip(plain.model.state_dict().items(), logged.model.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    states = [load_checkpoint(tmp_path / name / "last.pth")["random_state"] for name in ("plain", "logged")]
    assert str(states[0]) == str(states[1])
    rows = rows_of(tmp_path / "logged")
    last = max(rows)

    (run,) = wandb_runs(tmp_path / "logged")
    assert found(run, "run")[0].display_name == "logged"
    assert found(run, "exit")[0].exit_code == 0
    sent = {row["iteration"]: row for row in history(run)}
    assert set(sent) == set(rows)
    for iteration, row in rows.items():
        assert {name: pytest.approx(value) for name, value in row.items()}.items() <= sent[iteration].items()
    assert set(SCORES) <= set(sent[last])
    (best,) = (one for one in found(run, "metric") if one.name == "metric")
    assert (best.step_metric, best.summary.max) == ("iteration", True)

    client = mlflow.MlflowClient()
    (stored,) = client.search_runs([client.get_experiment_by_name("vireid").experiment_id])
    assert (stored.info.run_name, stored.info.status) == ("logged", "FINISHED")
    for name in (*SCORES, "total_loss", "lr"):
        points = {one.step: one.value for one in client.get_metric_history(stored.info.run_id, name)}
        assert points == {at: pytest.approx(row[name]) for at, row in rows.items() if name in row}
    assert stored.data.params["SOLVER.BASE_LR"] == "0.0002"
    assert "SOLVER.MOMENTUM" not in stored.data.params
    config = client.download_artifacts(stored.info.run_id, "config.yaml", str(tmp_path))
    assert Path(config).read_text() == logged.cfg.dump()


@pytest.mark.usefixtures("little_root")
def test_wandb_and_mlflow_of_a_run_that_died_are_continued(tmp_path: Path) -> None:
    """Also from another folder, with a key that may change, which MLflow would refuse as a parameter."""
    import mlflow

    keys = ["LOGGERS", "['wandb', 'mlflow']", "SOLVER.MAX_EPOCH", "2"]
    folder = tmp_path / "run"
    train(folder, *keys, dies_at=7)
    kept = (folder / "loggers.json").read_text()
    client = mlflow.MlflowClient()
    (before,) = client.search_runs(["1"])
    assert before.info.status == "KILLED"
    os.chdir(folder)
    train(folder, *keys, "SOLVER.BASE_LR", "0.0001", resume=True)
    assert (folder / "loggers.json").read_text() == kept
    rows = rows_of(folder)

    runs = wandb_runs(folder)
    assert [found(run, "exit")[0].exit_code for run in runs] == [1, 0]
    assert len({found(run, "run")[0].run_id for run in runs}) == 1
    sent = [row["iteration"] for run in runs for row in history(run)]
    assert sorted(set(sent)) == sorted(rows)

    (after,) = client.search_runs(["1"])
    assert (after.info.run_id, after.info.status) == (before.info.run_id, "FINISHED")
    points = {one.step for one in client.get_metric_history(after.info.run_id, "metric")}
    assert points == {at for at, row in rows.items() if "metric" in row}


@pytest.mark.usefixtures("little_root")
def test_mlflow_whose_run_is_gone_begins_another(tmp_path: Path, log: pytest.LogCaptureFixture) -> None:
    import mlflow

    keys = ["LOGGERS", "mlflow", "SOLVER.MAX_EPOCH", "1"]
    train(tmp_path / "run", *keys)
    client = mlflow.MlflowClient()
    (before,) = client.search_runs(["1"])
    client.delete_run(before.info.run_id)
    (tmp_path / "run" / "loggers.json").write_text('{"mlflow": {"run_id": "%s"}}' % ("0" * 32))
    train(tmp_path / "run", *keys, "SOLVER.MAX_EPOCH", "2", resume=True)
    assert "cannot be continued" in log.text
    (after,) = client.search_runs(["1"])
    assert after.info.run_id != before.info.run_id
