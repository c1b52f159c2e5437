"""Runs in a folder: which files are refused, and what is said."""

import json
from pathlib import Path

import pytest
from written_runs import SYSU, write_run

from vireid_plugins.errors import DataError
from vireid_plugins.experiments import runs
from vireid_plugins.experiments.runs import find_runs, read_run, read_scores

RESULT = {"protocol": SYSU, "split": None, "mean": {"mAP": 50.0}, "trials": 1}


def test_find_runs_in_a_folder_that_cannot_be_read_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(folder: Path) -> None:
        raise PermissionError(13, "Permission denied", str(folder / "closed"))

    monkeypatch.setattr(runs, "folders_below", denied)
    with pytest.raises(DataError, match=r"closed' cannot be read: Permission denied"):
        find_runs(tmp_path)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (b"a: [", r"config\.yaml' is not valid YAML: .*, line 1"),
        (b"3", r"config\.yaml' must hold keys and values, not int"),
        (b"SEED: \xff", r"config\.yaml' is no text in UTF-8: invalid start byte at byte 6"),
        (b"SOLVER: {MAX_EPOCH: many}", r"config\.yaml': SOLVER\.MAX_EPOCH must be a whole number, got 'many'"),
        (b"SEED: [1]", r"config\.yaml': SEED must be a whole number, got \[1\]"),
    ],
)
def test_read_run_of_a_wrong_configuration_names_its_file(tmp_path: Path, config: bytes, said: str) -> None:
    run = write_run(tmp_path / "run", [0.5])
    (run / "config.yaml").write_bytes(config)
    with pytest.raises(DataError, match=said):
        read_run(run)


def test_read_run_without_configuration_or_scores_says_what_is_missing(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [0.5])
    (run / "evaluation.json").unlink()
    with pytest.raises(DataError, match=r"run' has no scores yet: its evaluation\.json is missing"):
        read_run(run)
    (run / "config.yaml").unlink()
    with pytest.raises(DataError, match=r"config\.yaml' cannot be read: No such file or directory; is '.*run' a run\?"):
        read_run(run)


@pytest.mark.parametrize(
    "change", [{"split": "first"}, {"mean": {}}, {"mean": {"mAP": "high"}}, {"trials": float("inf")}]
)
def test_read_scores_of_what_are_none_says_how_to_write_them(tmp_path: Path, change: dict[str, object]) -> None:
    file = tmp_path / "evaluation.json"
    file.write_text(json.dumps({"results": [RESULT]}))
    assert [one.mean for one in read_scores(file)] == [RESULT["mean"]]
    file.write_text(json.dumps({"results": [RESULT | change]}))
    with pytest.raises(DataError, match=r"evaluation\.json' holds no scores; write it again: vireid train --eval-only"):
        read_scores(file)


def test_read_scores_of_a_folder_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"'{tmp_path}' cannot be read: it is a folder, not a file"):
        read_scores(tmp_path)
