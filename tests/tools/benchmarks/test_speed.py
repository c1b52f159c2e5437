"""`tools/benchmarks/speed.py`: its subjects, none of which is measured here at full size, and what it prints."""

import json
import pickle
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from _subjects import NAMES, subjects
from helpers import ROOT, small_cfg
from reference.losses import NAIVE
from speed_parts import gpu, losses, measure, scoring
from speed_parts.measure import Measured, run_here
from speed_parts.merge import kept, merged
from speed_parts.table import table
from speed_parts.trees import regdb_names

from vireid_plugins.errors import DataError


@pytest.mark.parametrize("name", NAMES)
def test_subjects_are_importable_and_told_apart(name: str) -> None:
    """A subject is prepared in a fresh process, where it is found by name."""
    found = subjects(name)
    ways = [(subject.task, subject.way) for subject in found]
    assert ways
    assert len(set(ways)) == len(ways)
    for subject in found:
        copied = pickle.loads(pickle.dumps(subject))
        assert (copied.task, copied.way) == (subject.task, subject.way)
        assert not subject.ceiling or (subject.task, subject.ceiling) in ways


@pytest.mark.slow
def test_measure_in_a_fresh_process_finds_every_module(tmp_path: Path) -> None:
    (subject,) = (one for one in subjects("gpu") if (one.task, one.way) == ("one-stream", gpu.BARE))
    measured = measure.measure(subject, tmp_path, "cpu", 1)
    # 2 identities x 2 images x 2 modalities.
    assert (measured.items, measured.warm_up, len(measured.seconds)) == (8, 1, 1)


def test_subjects_of_losses_are_every_loss_in_both_forms() -> None:
    assert sorted(losses.CONFIGS) == sorted(NAIVE)
    assert len(losses.SUBJECTS) == 2 * len(NAIVE)


def test_subjects_of_losses_have_the_batches_of_the_papers() -> None:
    tasks = {subject.task.split(",")[0]: subject.task for subject in losses.SUBJECTS}
    assert tasks["CMKIC"] == "CMKIC, 16 identities, 128 rows"
    assert tasks["QCT"] == "QCT, 6 identities, 96 rows"
    assert small_cfg("SYSU/idkl.yml").MODEL.LOSSES.TGSA.SCALE == 0.6


def test_speed_prints_a_table_and_writes_what_it_depends_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In this process, with a tenth of the people that RegDB has and narrow features."""
    monkeypatch.setattr(measure, "measure", lambda *given: run_here(*given[:4]))
    monkeypatch.setattr(scoring, "WIDTH", 16)
    monkeypatch.setitem(scoring.TREES, "RegDB", lambda folder, share: regdb_names(folder, 0.1 * share))
    words = ["tools/benchmarks/speed.py", "scoring", "--repeats", "2", "--only", "RegDB"]
    monkeypatch.setattr(sys, "argv", [*words, "--json", str(tmp_path / "b.json")])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / words[0]), run_name="__main__")
    assert ended.value.code == 0
    report = json.loads((tmp_path / "b.json").read_text())
    assert {"device", "threads", "torch", "numba", "commit"} <= set(report["environment"])
    counting, loops = report["results"]
    assert (counting["way"], loops["way"]) == ("counting", "per-query loops")
    assert (counting["repeats"], counting["warm_up"], loops["repeats"]) == (2, 1, 1)
    assert counting["fastest_seconds"] <= counting["median_seconds"] <= counting["slowest_seconds"]
    assert "per-query loops" in capsys.readouterr().out


@pytest.mark.slow
def test_every_subject_runs_at_its_smallest_size(tmp_path: Path) -> None:
    """In one process, since importing torch for each would take most of the time."""
    words = ["tools/benchmarks/speed.py", "all", "--smallest", "--json", str(tmp_path / "b.json")]
    ran = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]
    report = json.loads((tmp_path / "b.json").read_text())
    assert report["failed"] == []
    assert len(report["results"]) > 60
    assert all(one["cpu"] and one["repeats"] == 1 for one in report["results"])


def _row(task: str, way: str, seconds: float, **other: str) -> Measured:
    return Measured(task, way, 0, [seconds], seconds, 1, 0, **other)


def test_merged_replaces_what_was_measured_again_and_puts_new_ways_into_their_task() -> None:
    before = [_row("a", "x", 1), _row("a", "y", 2), _row("b", "x", 3)]
    found = merged(before, [_row("a", "z", 4), _row("c", "x", 5), _row("a", "x", 6)])
    assert [(row.task, row.way, row.median) for row in found] == [
        ("a", "x", 6), ("a", "y", 2), ("a", "z", 4), ("b", "x", 3), ("c", "x", 5),
    ]  # fmt: skip


def test_kept_says_the_commit_of_every_row_and_refuses_another_machine(tmp_path: Path) -> None:
    file = tmp_path / "b.json"
    rows = [_row("a", "x", 1), _row("a", "y", 2, commit="older", date="2026-01-02")]
    environment = {"device": "d", "torch": "2", "commit": "old"}
    file.write_text(json.dumps({"environment": environment, "results": [row.as_json() for row in rows]}))
    found = kept(file, {**environment, "commit": "new"})
    assert [(row.commit, row.date) for row in found] == [("old", ""), ("older", "2026-01-02")]
    assert table(found).count("older") == 1
    with pytest.raises(DataError, match="torch 2 and now 3"):
        kept(file, {**environment, "torch": "3"})
