"""Command lines that measure the repository."""

import json
import runpy
import sys
from pathlib import Path

import pytest
from helpers import ROOT

from vireid_plugins import benchmark
from vireid_plugins.benchmark import scoring
from vireid_plugins.benchmark.measure import run_here
from vireid_plugins.benchmark.trees import regdb_names


def test_benchmark_prints_a_table_and_writes_what_it_depends_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In this process, with a tenth of the people that RegDB has and narrow features."""
    monkeypatch.setattr(benchmark, "measure", lambda *given: run_here(*given[:4]))
    monkeypatch.setattr(scoring, "WIDTH", 16)
    monkeypatch.setitem(scoring.TREES, "RegDB", lambda folder, share: regdb_names(folder, 0.1 * share))
    words = ["tools/benchmark.py", "scoring", "--repeats", "2", "--only", "RegDB", "--json", str(tmp_path / "b.json")]
    monkeypatch.setattr(sys, "argv", words)
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
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
