"""fast-reid's own recipe through its own trainer on a synthetic tree."""

import importlib.util
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import torch
from fastreid.data import build
from helpers import ROOT, python

from vireid_plugins.stock.data import DeviceLoader

TRAIN = "examples/market1501/train.py"
RECIPE = "examples/market1501/bagtricks.yml"
BEGIN = DeviceLoader.__init__


def example() -> Any:
    """The module `examples/market1501/train.py`."""
    spec = importlib.util.spec_from_file_location("market1501_train", ROOT / TRAIN)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def few_workers(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """Give loaders so many workers at most; fast-reid's test loader always asks for four, a second of imports each."""

    def init(self: DeviceLoader, rank: int, **arguments: Any) -> None:
        arguments["num_workers"] = min(most, arguments["num_workers"])
        BEGIN(self, rank, **arguments)

    monkeypatch.setattr(DeviceLoader, "__init__", init)


@pytest.mark.usefixtures("unpatched")
def test_market1501_recipe_trains_and_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = python(
        "tools/make_synthetic.py", "Market1501", "--root", str(tmp_path), "--train", "10", "--test", "8",
        "--images", "3", "--height", "64", "--width", "32",
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    out = tmp_path / "out"
    overrides = [
        "MODEL.DEVICE", "cpu", "MODEL.BACKBONE.PRETRAIN", "False", "MODEL.BACKBONE.DEPTH", "18x",
        "MODEL.BACKBONE.FEAT_DIM", "128", "INPUT.SIZE_TRAIN", "[64, 32]", "INPUT.SIZE_TEST", "[64, 32]",
        "SOLVER.IMS_PER_BATCH", "16", "SOLVER.WARMUP_ITERS", "4", "SOLVER.CHECKPOINT_PERIOD", "1",
        "TEST.EVAL_PERIOD", "1", "TEST.FLIP.ENABLED", "True", "DATALOADER.NUM_WORKERS", "0", "OUTPUT_DIR", str(out),
    ]  # fmt: skip
    monkeypatch.setattr(build, "_root", str(tmp_path))
    train, given = example().main, {"config_file": str(ROOT / RECIPE), "eval_only": False}
    few_workers(monkeypatch, 0)
    first = train(Namespace(**given, opts=[*overrides, "SOLVER.MAX_EPOCH", "1"], resume=False))
    assert 0 <= first["metric"] <= 100
    start = torch.load(out / "model_final.pth", weights_only=False)["model"]
    capsys.readouterr()
    few_workers(monkeypatch, 1)
    train(Namespace(**given, opts=[*overrides, "SOLVER.MAX_EPOCH", "2"], resume=True))
    said = (out / "log.txt").read_text() + capsys.readouterr().out
    assert "Starting training from epoch 1" in said
    assert "| Market1501 |" in said
    end = torch.load(out / "model_final.pth", weights_only=False)["model"]
    assert sum(not torch.equal(start[name], end[name]) for name in start) > 0.9 * len(start)


def test_market1501_without_data_says_where_it_is_looked_for(tmp_path: Path) -> None:
    ran = python(TRAIN, "--config-file", RECIPE, "MODEL.DEVICE", "cpu", "OUTPUT_DIR", str(tmp_path / "out"),
                 "MODEL.BACKBONE.PRETRAIN", "False", FASTREID_DATASETS=str(tmp_path))  # fmt: skip
    assert ran.returncode == 1
    assert "Traceback" not in ran.stderr
    assert f"now '{tmp_path}', or write a synthetic one: vireid synthesize Market1501" in ran.stderr
