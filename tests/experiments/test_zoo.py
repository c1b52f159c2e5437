"""Zoos: what is refused before anything runs, what runs, and what a failure leaves."""

import csv
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fake_trainings as fakes
import pytest
from helpers import SMALL, SMALL_FRESH, SMALL_METHODS, vireid
from written_runs import write_run

from vireid_plugins.errors import ConfigError, DataError, LaunchError, StoppedError, UserError
from vireid_plugins.experiments import zoo_table
from vireid_plugins.experiments.local import LocalExecutor
from vireid_plugins.experiments.outcomes import FAILED, Outcome, Report, scored
from vireid_plugins.experiments.plan import PlannedRun
from vireid_plugins.experiments.zoo import Zoo, planned, run_zoo
from vireid_plugins.visualize.plugins import NetworkSize


def nothing(_: str) -> None:
    """Hide what a zoo says."""


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"dataset": "SYSUU"}, ConfigError, r"DATASET: unknown value 'SYSUU'; .*RegDB.*did you mean 'SYSU'"),
        ({"dataset": ""}, ConfigError, r"DATASET: unknown value ''; .*or a folder of images of your own"),
        ({"methods": ["agv"]}, ConfigError, r"--methods: unknown value 'agv'; .*did you mean 'agw'"),
        ({"methods": ["agw", "agw"]}, ConfigError, "--methods: 'agw' is given twice"),
        ({"methods": ["no.yml"]}, ConfigError, "'no.yml' does not exist"),
        ({"weights": {"wrim": ["x"]}}, ConfigError, "--weights: unknown value 'wrim'"),
        ({"weights": {"agw": ["none.pth"]}}, ConfigError, "--weights agw=none.pth: .*does not exist"),
        ({"epochs": 3, "overrides": ["SOLVER.MAX_EPOCH", "4"]}, ConfigError, "--epochs 3 sets it"),
        ({"overrides": ["SOLVER.NONE", "4"]}, ConfigError, "zoo 'SYSU/agw.yml': .*NONE"),
        ({"overrides": ["SEED", "4"]}, ConfigError, "SEED on the command line would have no effect"),
        (
            {"overrides": ["MODEL.BACKBONE.DEPTH", "18x"]},
            ConfigError,
            "zoo 'SYSU/agw.yml': MODEL.ATTENTION.STAGE2: 'NonLocal@2' names a block that the stage does not have",
        ),
        ({"dataset": "LLCM"}, DataError, "LLCM is incomplete"),
        (
            {"dataset": "own", "methods": ["adca"]},
            ConfigError,
            "--methods: 'adca' learns without labels",
        ),
    ],
)
def test_zoo_refuses_a_mistake_before_anything_runs(
    tmp_path: Path,
    little_root: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    error: type[UserError],
    message: str,
) -> None:
    fakes.install(monkeypatch)
    if changes.get("dataset") == "LLCM":
        monkeypatch.setenv("FASTREID_DATASETS", str(tmp_path))
    asked = Zoo("SYSU", ["agw"], 0, 1, {}, tmp_path / "out")._replace(**changes)
    with pytest.raises(error, match=message):
        run_zoo(asked, nothing)
    assert not list((tmp_path / "out").glob("*/*"))


def test_zoo_refuses_weights_that_are_none(tmp_path: Path, little_root: Path) -> None:
    (tmp_path / "torn.pth").write_bytes(b"torn")
    with pytest.raises(DataError, match=r"torn\.pth"):
        planned(Zoo("SYSU", ["agw"], weights={"agw": [str(tmp_path / "torn.pth")]}, output=tmp_path / "out"))


def test_zoo_refuses_weights_of_another_method(trained: Path, little_root: Path, tmp_path: Path) -> None:
    asked = Zoo("SYSU", ["one_stream", "agw"], 0, 1, {"agw": [str(trained)]}, tmp_path / "out", SMALL)
    asked = asked._replace(overrides=[*SMALL, *SMALL_METHODS["agw"]])
    with pytest.raises(DataError, match=r"--weights agw=.*model_final\.pth: .*does not fill the network"):
        planned(asked)
    # A logger that is missing matters to no method that is only scored.
    overrides = [*SMALL, "LOGGERS", "['MLflowLogger']"]
    (method,) = planned(asked._replace(methods=["wrim"], weights={"wrim": [str(trained)]}, overrides=overrides))
    assert [run.weights for run in method.runs] == [(trained / "model_final.pth").resolve()]


def test_zoo_refuses_the_same_weights_twice(trained: Path, little_root: Path, tmp_path: Path) -> None:
    """They would count as two seeds without a deviation."""
    twice = [str(trained), f"{trained}/model_final.pth"]
    with pytest.raises(ConfigError, match=r"--weights agw=.*model_final\.pth: '.*model_final\.pth' is given twice"):
        planned(Zoo("SYSU", ["agw"], weights={"agw": twice}, output=tmp_path / "out", overrides=SMALL))


def test_zoo_of_a_folder_takes_all_methods_for_ones_own_images(little_root: Path, tmp_path: Path) -> None:
    methods = planned(
        Zoo(str(little_root / "own"), epochs=2, seeds=1, output=tmp_path, overrides=["SOLVER.AMP.ENABLED", "False"])
    )
    names = {method.name for method in methods}
    assert {"agw", "idkl", "pmt", "rle", "wrim"} < names
    # They train on folders that nobody has labeled.
    assert not {"adca", "pgm"} & names
    for method in methods:
        assert [run.values for run in method.runs] == [{"SEED": 0}]
        assert Path(method.config.DATASETS.OWN.ROOT) == little_root / "own"
        assert method.config.MODEL.HEADS.NUM_CLASSES == 5
        assert method.config.SOLVER.MAX_EPOCH == 2


def test_zoo_with_weights_of_a_method_that_cannot_be_scored_is_an_error(little_root: Path, tmp_path: Path) -> None:
    overrides = ["SOLVER.AMP.ENABLED", "False"]
    with pytest.raises(ConfigError, match="--weights: 'adca' learns without labels"):
        planned(Zoo(str(little_root / "own"), weights={"adca": ["run"]}, output=tmp_path, overrides=overrides))


def test_zoo_takes_no_stage_of_another_method(little_root: Path, tmp_path: Path) -> None:
    overrides = ["SOLVER.AMP.ENABLED", "False"]
    names = [method.name for method in planned(Zoo("SYSU", seeds=1, output=tmp_path, overrides=overrides))]
    assert "adca" in names
    assert "adca_stage1" not in names
    (named,) = planned(Zoo("SYSU", ["adca_stage1"], seeds=1, output=tmp_path, overrides=overrides))
    assert named.name == "adca_stage1"


def test_zoo_scores_all_methods_under_the_protocols_of_all(little_root: Path, tmp_path: Path) -> None:
    agw, mpanet = planned(
        Zoo("SYSU", ["agw", "mpanet"], seeds=1, output=tmp_path, overrides=["SOLVER.AMP.ENABLED", "False"])
    )
    assert set(agw.config.TEST.PROTOCOLS) == set(mpanet.config.TEST.PROTOCOLS)
    assert agw.config.TEST.PROTOCOLS[0] == "sysu/agw/all/1shot"
    # Its own still chooses the best epoch.
    assert mpanet.config.TEST.PROTOCOLS[0] == "sysu/official/all/1shot"


def test_zoo_keeps_what_is_finished_and_lists_what_fails(
    tmp_path: Path, little_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fakes.install(monkeypatch)
    monkeypatch.setattr(zoo_table, "network_size", lambda _: NetworkSize(1.5, 0.25, 100.0))
    own = ["DATASETS.OWN.ROOT", str(little_root / "own")]
    words = [*SMALL, *SMALL_METHODS["agw"], *own, "SOLVER.BASE_LR", "0.5"]
    asked = Zoo("own", ["one_stream", "agw"], 0, 2, {}, tmp_path / "out", words)
    for run in planned(asked)[0].runs:
        protocols = ["TEST.PROTOCOLS", "['own/i2v', 'own/v2i']"]
        ap = 0.5 + run.values["SEED"] / 4
        given = (*protocols, *words)
        place = {"config": "own/one_stream.yml", "protocol": "own/i2v"}
        folder = write_run(run.folder, [ap], *given, seed=run.values["SEED"], **place)
        lines = [{"iteration": step, "time": 0.5} for step in (1, 3)]
        (folder / "metrics.json").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        (folder / "done").touch()
    with pytest.raises(LaunchError, match="2 of 4 runs failed") as caught:
        run_zoo(asked, nothing)
    assert "error: of this run" in str(caught.value)
    table = (tmp_path / "out" / "zoo.md").read_text()
    (row,) = [line for line in table.splitlines() if line.startswith("| one_stream")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    # Seeds score 50 and 75; four steps of half a second; the recipe scores mirror images too.
    assert cells[:3] + cells[4:5] == ["one_stream", "own/i2v", "2", "62.50 ± 17.68"]
    assert cells[6:] == ["1.50", "0.25", "20", "2"]
    assert "- agw: seed-1: error: of this run" in table
    records = json.loads((tmp_path / "out" / "zoo.json").read_text())["methods"]
    assert [record["method"] for record in records] == ["one_stream", "agw"]
    assert records[0]["cost"]["epoch"] == 2.0
    assert records[1]["results"] == []
    rows = list(csv.DictReader((tmp_path / "out" / "zoo.csv").read_text().splitlines()))
    assert float(rows[0]["mAP"]) == 62.5
    assert rows[1]["error"].startswith("seed-0: error: of this run")
    assert not (tmp_path / "out" / "one_stream" / "seed-0" / "starts").exists()


def test_zoo_lists_a_network_that_cannot_be_measured(
    tmp_path: Path, little_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> None:
        raise RuntimeError("no such layer")

    fakes.install(monkeypatch)
    monkeypatch.setattr(zoo_table, "network_size", broken)
    asked = Zoo(str(little_root / "own"), ["one_stream"], 0, 1, {}, tmp_path / "out", SMALL)
    ((run,),) = [method.runs for method in planned(asked)]
    words = [*SMALL, "DATASETS.OWN.ROOT", str(little_root / "own")]
    folder = write_run(run.folder, [0.5], *words, config="own/one_stream.yml", protocol="own/i2v")
    (folder / "metrics.json").write_text('{"iteration": 3, "time": 0.5}\n')
    (folder / "done").touch()
    with pytest.raises(LaunchError, match="one_stream: no such layer"):
        run_zoo(asked, nothing)
    assert "50.00" in (tmp_path / "out" / "zoo.md").read_text()


def test_epoch_seconds_without_times_name_the_file(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text('{"iteration": 3, "total_loss": 0.5}\n')
    with pytest.raises(DataError, match=r"metrics\.json' has no times of steps"):
        zoo_table.epoch_seconds(tmp_path, 1)


def test_scored_goes_by_the_content_of_the_weights(tmp_path: Path) -> None:
    weights, folder = tmp_path / "a.pth", tmp_path / "run"
    weights.write_bytes(b"one")
    folder.mkdir()
    assert not scored(folder, weights)
    report = {"provenance": {"sha256": hashlib.sha256(b"one").hexdigest()}}
    (folder / "evaluation.json").write_text(json.dumps(report))
    assert scored(folder, weights)
    weights.write_bytes(b"two")
    assert not scored(folder, weights)
    with pytest.raises(DataError, match=r"b\.pth' cannot be read"):
        scored(folder, tmp_path / "b.pth")


def test_zoo_that_is_stopped_as_a_run_ends_starts_no_other_method(
    tmp_path: Path, little_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(self: LocalExecutor, runs: Sequence[PlannedRun], report: Report) -> list[Outcome]:
        self.stopping = True
        return [Outcome(run, FAILED, "of no interest here") for run in runs]

    monkeypatch.setattr(LocalExecutor, "run", run)
    said: list[str] = []
    asked = Zoo(str(little_root / "own"), ["one_stream", "agw"], 0, 1, {}, tmp_path / "out")
    asked = asked._replace(overrides=[*SMALL, *SMALL_METHODS["agw"]])
    with pytest.raises(StoppedError, match="the same command continues it"):
        run_zoo(asked, said.append)
    assert said == ["one_stream: 1 run"]
    assert "one_stream" in (tmp_path / "out" / "zoo.md").read_text()


@pytest.mark.slow
def test_zoo_trains_scores_given_weights_and_repeats_nothing(tmp_path: Path, little_tree: Path) -> None:
    words = [*SMALL_FRESH, "SOLVER.IMS_PER_BATCH", "8"]
    at = words.index("SOLVER.MAX_EPOCH")
    del words[at : at + 2]
    out = tmp_path / "out"
    first = vireid("zoo", str(little_tree / "own"), "--methods", "one_stream", "--epochs", "1", "--seeds", "1",
        "--output", str(out), *words,
    )  # fmt: skip
    assert first.returncode == 0, first.stderr
    assert "  seed-0: finished\n" in first.stdout
    weights = out / "one_stream" / "seed-0" / "model_final.pth"
    given = ["--weights", f"one_stream={weights}", "--output", str(tmp_path / "given")]
    for state in ("finished", "finished before"):
        second = vireid("zoo", str(little_tree / "own"), "--methods", "one_stream", *given, *words)
        assert second.returncode == 0, second.stderr
        assert f": {state}\n" in second.stdout
    tables = [json.loads((folder / "zoo.json").read_text())["methods"][0] for folder in (out, tmp_path / "given")]
    assert tables[0]["results"] == tables[1]["results"]
    assert tables[0]["cost"]["epoch"] > 0
    assert tables[1]["cost"]["epoch"] is None
    # Other weights under the same name are scored again.
    weights.write_bytes(weights.with_name("last.pth").read_bytes())
    third = vireid("zoo", str(little_tree / "own"), "--methods", "one_stream", *given, *words)
    assert ": finished\n" in third.stdout, third.stderr
