"""The splits of RegDB: each trained once, resumed, and averaged."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from helpers import SMALL

from vireid_plugins.config import config_path
from vireid_plugins.data.synthetic import RegdbSize, write_regdb
from vireid_plugins.engine import train_splits
from vireid_plugins.engine.finished_run import finished
from vireid_plugins.errors import ConfigError, DataError


def arguments(*overrides: str, config: str = "RegDB/one_stream.yml") -> tuple[str, list[str]]:
    return str(config_path(config)), [*SMALL, "SOLVER.IMS_PER_BATCH", "32", *overrides]


def test_train_splits_trains_once_resumes_and_averages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_regdb(tmp_path / "RegDB", RegdbSize(identities=16, images=2, height=48, width=24), seed=1, workers=1)
    monkeypatch.setenv("FASTREID_DATASETS", str(tmp_path))
    # That each is trained in a process of its own is seen where a signal ends one, in test_faults.py.
    module = sys.modules["vireid_plugins.engine.regdb_splits"]
    monkeypatch.setattr(module, "ProcessPoolExecutor", lambda *_, **__: ThreadPoolExecutor(1))
    args = arguments("OUTPUT_DIR", str(tmp_path))
    merged = train_splits(*args, [2, 5])
    assert json.loads((tmp_path / "splits.json").read_text()) == merged
    assert [result["splits"] for result in merged["merged"]] == [[2, 5]] * 4
    first = {split: tmp_path / f"split_{split}" / "model_final.pth" for split in (2, 5)}
    for split, file in first.items():
        assert torch.load(file, weights_only=True)["vireid"]["splits"] == {"RegDB": split}
    scores = [
        json.loads((file.parent / "evaluation.json").read_text())["results"][0]["mean"] for file in first.values()
    ]
    expected = sum(score["Rank-1"] for score in scores) / 2
    assert merged["merged"][0]["mean"]["Rank-1"] == pytest.approx(expected)
    times = {split: file.stat().st_mtime_ns for split, file in first.items()}

    # What is finished stays; what was interrupted, or is to have more epochs, goes on from where it stood.
    assert train_splits(*args, [2, 5])["merged"][0]["splits"] == [2, 5]
    assert {split: file.stat().st_mtime_ns for split, file in first.items()} == times
    (first[5].parent / "evaluation.json").unlink()
    longer = arguments("OUTPUT_DIR", str(tmp_path), "SOLVER.MAX_EPOCH", "2")
    train_splits(*longer, [5])
    assert torch.load(first[5], weights_only=True)["epoch"] == 1
    assert "Starting training from epoch 2" in (tmp_path / "split_5" / "log.txt").read_text()


def test_train_splits_of_what_does_not_fit_is_one_error(data_root: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="must be RegDB alone"):
        train_splits(*arguments(config="SYSU/one_stream.yml"), [1])
    with pytest.raises(ConfigError, match="choose some with --splits"):
        train_splits(*arguments("DATASETS.REGDB.SPLIT", "2"), [1])


@pytest.mark.parametrize("missing", ["list", "image"])
def test_train_splits_without_a_file_of_a_later_split_trains_none(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_regdb(tmp_path / "RegDB", RegdbSize(identities=16, images=2, height=48, width=24), seed=1, workers=1)
    monkeypatch.setenv("FASTREID_DATASETS", str(tmp_path))
    lists = tmp_path / "RegDB" / "idx"
    file = lists / "test_thermal_2.txt"
    if missing == "image":
        # An image that no list of split 1 has.
        second = lists / "train_visible_2.txt"
        file = tmp_path / "RegDB" / "Visible" / "1" / "extra.bmp"
        with second.open("a") as lines:
            lines.write("Visible/1/extra.bmp 0\n")
        file.touch()
    else:
        file.unlink()
    with pytest.raises(DataError, match=file.name):
        train_splits(*arguments("OUTPUT_DIR", str(tmp_path / "out")), [1, 2])
    assert not list(tmp_path.glob("out/split_*"))


def test_finished_is_a_run_whose_last_evaluation_has_ended(tmp_path: Path) -> None:
    checkpoint = {"model": {"weight": torch.zeros(1)}, "epoch": 0, "iteration": 5, "iters_per_epoch": 5}
    (tmp_path / "evaluation.json").write_text("{}")
    for unscored in (False, True):
        torch.save({**checkpoint, "unscored": unscored}, tmp_path / "model_final.pth")
        assert finished(tmp_path, 1) is not unscored
