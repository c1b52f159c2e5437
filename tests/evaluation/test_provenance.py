"""Where the scores of an `evaluation.json` come from."""

import json
import re
from pathlib import Path

import pytest

from vireid_plugins.evaluation import provenance as module
from vireid_plugins.evaluation.provenance import ScoredWeights, name_weights, provenance, write_evaluation


def test_provenance_has_the_weights_the_code_and_a_date_in_utc() -> None:
    found = provenance("AGW", "RegDB", 3, ScoredWeights("model_final.pth", "ab", 60, 1))
    assert {key: found[key] for key in ("method", "dataset", "split", "file", "sha256", "epoch", "seed")} == {
        "method": "AGW", "dataset": "RegDB", "split": 3,
        "file": "model_final.pth", "sha256": "ab", "epoch": 60, "seed": 1,
    }  # fmt: skip
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", found["date"])
    assert set(found["versions"]) == {"python", "torch", "fastreid", "vireid_plugins"}
    assert found["commit"] is None or re.fullmatch(r"[0-9a-f]{40}(-dirty)?", found["commit"])


def test_write_evaluation_that_differs_in_its_date_alone_keeps_the_former(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "evaluation.json"
    report = {"provenance": provenance("AGW", "LLCM", None), "results": [{"mean": {"mAP": 12.345678901234567}}]}
    write_evaluation(file, report)
    written = file.read_bytes()
    write_evaluation(file, {**report, "provenance": {**report["provenance"], "date": "2031-01-01T00:00:00Z"}})
    assert file.read_bytes() == written
    monkeypatch.setattr(module, "commit", lambda: "f" * 40)
    write_evaluation(file, {**report, "provenance": provenance("AGW", "LLCM", None)})
    assert json.loads(file.read_text())["provenance"]["commit"] == "f" * 40


def test_name_weights_enters_them_and_leaves_files_of_earlier_releases_alone(tmp_path: Path) -> None:
    file = tmp_path / "evaluation.json"
    write_evaluation(
        file, {"provenance": provenance("AGW", "LLCM", None, ScoredWeights(epoch=2, seed=0)), "results": []}
    )
    name_weights(file, ScoredWeights("model_final.pth", "cd", 2, 0))
    named = json.loads(file.read_text())["provenance"]
    assert (named["file"], named["sha256"], named["epoch"], named["method"]) == ("model_final.pth", "cd", 2, "AGW")
    for content in ('{"results": []}', "[]", "torn"):
        file.write_text(content)
        name_weights(file, ScoredWeights("x.pth"))
        assert file.read_text() == content
    name_weights(tmp_path / "none.json", ScoredWeights("x.pth"))
    assert not (tmp_path / "none.json").exists()
