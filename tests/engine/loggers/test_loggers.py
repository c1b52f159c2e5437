"""Loggers without W&B and MLflow: what is checked before a run, what they are sent, and what becomes of errors."""

import json
import logging
import random
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from fastreid.utils.events import EventStorage
from helpers import small_cfg

from vireid_plugins.engine import Trainer
from vireid_plugins.engine.hooks.logger_writer import LoggerWriter
from vireid_plugins.engine.loggers import LOGGER_REGISTRY, Logger, RunOfLogger, require_loggers
from vireid_plugins.engine.loggers.mlflow_logger import changed, metric_name
from vireid_plugins.errors import ConfigError, InstallError
from vireid_plugins.evaluation.protocols import PROTOCOLS, open_form
from vireid_plugins.evaluation.results import score_names


class ListLogger(Logger):
    """Keeps what it is sent."""

    calls: ClassVar[list[Any]] = []
    failing: ClassVar[str] = ""

    def start(self, run: RunOfLogger) -> dict[str, Any]:
        self._fail("start")
        self.calls.append(("start", dict(run.former), run.title))
        random.random()
        torch.rand(3)
        return {"number": run.former.get("number", 0) + 1}

    def log(self, values: Mapping[str, float], iteration: int) -> None:
        self._fail("log")
        self.calls.append((iteration, dict(values)))
        torch.rand(3)

    def finish(self, completed: bool) -> None:
        self._fail("finish")
        self.calls.append(("finish", completed))

    def _fail(self, where: str) -> None:
        if self.failing == where:
            raise ConnectionError("no route to host\nand more")


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """`list_logger` in the registry, as a plug-in package would register it."""
    LOGGER_REGISTRY.register(ListLogger)
    monkeypatch.setattr(ListLogger, "calls", [])
    yield
    del LOGGER_REGISTRY._obj_map["list_logger"]


def cfg_of(folder: Path, *overrides: str) -> Any:
    return small_cfg("SYSU/one_stream.yml", "OUTPUT_DIR", str(folder), "LOGGERS", "list_logger", *overrides)


def test_registry_names_a_logger_in_snake_case_and_takes_nothing_else() -> None:
    assert {"wandb", "mlflow", "list_logger"} <= set(LOGGER_REGISTRY._obj_map)
    with pytest.raises(ConfigError, match="'list_logger' is registered already"):
        LOGGER_REGISTRY.register(type("ListLogger", (Logger,), {}))
    with pytest.raises(ConfigError, match="'dict' must be a subclass of Logger"):
        LOGGER_REGISTRY.register(dict)


@pytest.mark.parametrize(
    ("names", "said"),
    [(["wandbb"], "LOGGERS: unknown value 'wandbb'; available: list_logger, mlflow, wandb"), (["wandb"] * 2, "twice")],
)
def test_require_loggers_with_wrong_names_is_one_error(names: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        require_loggers(names)


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
@pytest.mark.usefixtures("little_root")
def test_trainer_without_the_package_of_a_logger_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InstallError, match=rf"LOGGERS: {name} needs .*\n.*pip install 'vireid_plugins\[{name}\]'"):
        Trainer(cfg_of(tmp_path / "out", "LOGGERS", f"['{name}']"))
    assert not (tmp_path / "out").exists()


def test_writer_sends_each_scalar_once_and_nothing_that_is_not_finite(tmp_path: Path) -> None:
    with EventStorage(0) as storage:
        writer = LoggerWriter(cfg_of(tmp_path), resumed=False)
        storage.put_scalars(total_loss=2.0, lr=float("nan"), smoothing_hint=False)
        writer.write()
        storage.iter = 5
        storage.put_scalars(total_loss=1.0, loss_a=float("inf"), smoothing_hint=False)
        writer.write()
        writer.write()
        storage.iter = 6
        storage.put_scalar("lr", 0.5, smoothing_hint=False)
        writer.write()
        writer.end(completed=True)
        writer.close()
    assert ListLogger.calls == [
        ("start", {}, tmp_path.name), (0, {"total_loss": 2.0}), (5, {"total_loss": 1.0}), (6, {"lr": 0.5}),
        ("finish", True),
    ]  # fmt: skip


def test_writer_of_a_resumed_run_is_given_what_it_returned(tmp_path: Path) -> None:
    for resumed in (False, True, True, False):
        LoggerWriter(cfg_of(tmp_path), resumed=resumed).close()
    formers = [call[1] for call in ListLogger.calls if call[0] == "start"]
    assert formers == [{}, {"number": 1}, {"number": 2}, {}]
    assert [call for call in ListLogger.calls if call[0] == "finish"] == [("finish", False)] * 4
    (tmp_path / "loggers.json").write_text("[1]")
    with pytest.raises(ConfigError, match=r"loggers\.json' cannot be read .*; remove it"):
        LoggerWriter(cfg_of(tmp_path), resumed=True)


def test_writer_leaves_the_random_generators_as_they_are(tmp_path: Path) -> None:
    random.seed(1)
    torch.manual_seed(1)
    expected = random.random(), torch.rand(2)
    random.seed(1)
    torch.manual_seed(1)
    with EventStorage(0) as storage:
        writer = LoggerWriter(cfg_of(tmp_path), resumed=False)
        storage.put_scalar("lr", 1.0)
        writer.write()
    assert random.random() == expected[0]
    assert torch.equal(torch.rand(2), expected[1])


def test_writer_whose_logger_cannot_start_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ListLogger, "failing", "start")
    with pytest.raises(ConfigError) as caught:
        LoggerWriter(cfg_of(tmp_path), resumed=False)
    assert str(caught.value) == "LOGGERS: list_logger cannot be started: ConnectionError: no route to host"


@pytest.mark.parametrize("where", ["log", "finish"])
def test_writer_goes_on_without_a_logger_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, where: str
) -> None:
    monkeypatch.setattr(ListLogger, "failing", where)
    monkeypatch.setattr(logging.getLogger("fastreid"), "propagate", True)
    with EventStorage(0) as storage:
        writer = LoggerWriter(cfg_of(tmp_path), resumed=False)
        for storage.iter in range(3):
            storage.put_scalar("lr", 1.0)
            writer.write()
        writer.end(completed=True)
    # A record may be heard twice, by two loggers on its way.
    records = {id(record): record for record in caplog.records if record.levelname == "WARNING"}
    said = [record.getMessage() for record in records.values()]
    assert said == ["list_logger: ConnectionError: no route to host; the run goes on without it"]


@pytest.mark.usefixtures("little_root")
def test_trainer_sends_a_logger_what_it_writes_to_metrics_json(tmp_path: Path) -> None:
    keys = ["MODEL.STREAMS.BACKBONE", "build_osnet_backbone", "MODEL.BACKBONE.DEPTH", "x0_25"]
    scores = Trainer(cfg_of(tmp_path / "out", *keys, "TEST.PROTOCOLS", "sysu/agw/*")).train()
    lines = [json.loads(line) for line in (tmp_path / "out" / "metrics.json").read_text().splitlines()]
    assert [{**values, "iteration": at} for at, values in ListLogger.calls[1:-1]] == lines
    assert ListLogger.calls[-1] == ("finish", True)
    last = lines[-1]
    assert {"Rank-1", "mAP"}.isdisjoint(last)
    assert last["metric"] == pytest.approx(scores["metric"])
    assert last["sysu/agw/all/1shot/mAP"] == pytest.approx(scores["mAP"])
    report = json.loads((tmp_path / "out" / "evaluation.json").read_text())["results"]
    for one in report:
        for name, value in one["mean"].items():
            assert last[f"{one['protocol']}/{name}"] == pytest.approx(value)
    assert len(report) == 2


def test_metric_name_of_every_score_has_only_what_mlflow_accepts() -> None:
    assert metric_name("regdb/v2i/open/TPIR@FPIR=1%") == "regdb/v2i/open/TPIR at FPIR 1 percent"
    for protocol in (PROTOCOLS["regdb/v2i"], open_form(PROTOCOLS["regdb/v2i"])):
        for score in score_names(protocol):
            assert re.fullmatch(r"[\w./: -]+", metric_name(f"{protocol.name}/{score}"))


def test_changed_keys_are_short_texts() -> None:
    cfg = small_cfg("SYSU/wrim.yml", "OUTPUT_DIR", "x" * 9000)
    found = changed(cfg)
    assert found["SOLVER.MAX_EPOCH"] == "1"
    assert len(found["OUTPUT_DIR"]) == 500
    assert "SOLVER.GAMMA" not in changed(small_cfg("SYSU/wrim.yml", "SOLVER.GAMMA", "0.1"))
