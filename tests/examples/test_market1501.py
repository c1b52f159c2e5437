"""fast-reid's own recipe through its own trainer on a synthetic tree."""

from pathlib import Path

import torch
from helpers import python


def test_the_recipe_of_market_1501_trains_a_few_steps(tmp_path: Path) -> None:
    made = python(
        "tools/make_synthetic.py", "Market1501", "--root", str(tmp_path), "--train", "10", "--test", "8",
        "--images", "3", "--height", "64", "--width", "32",
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    out = tmp_path / "out"
    command = [
        "examples/market1501/train.py", "--config-file", "examples/market1501/bagtricks.yml",
        "MODEL.DEVICE", "cpu", "MODEL.BACKBONE.PRETRAIN", "False", "MODEL.BACKBONE.DEPTH", "18x",
        "MODEL.BACKBONE.FEAT_DIM", "512", "INPUT.SIZE_TRAIN", "[64, 32]", "INPUT.SIZE_TEST", "[64, 32]",
        "SOLVER.IMS_PER_BATCH", "16", "SOLVER.WARMUP_ITERS", "4", "SOLVER.CHECKPOINT_PERIOD", "1",
        "TEST.EVAL_PERIOD", "1", "TEST.FLIP.ENABLED", "True", "DATALOADER.NUM_WORKERS", "0", "OUTPUT_DIR", str(out),
    ]  # fmt: skip
    first = python(*command, "SOLVER.MAX_EPOCH", "1", FASTREID_DATASETS=str(tmp_path))
    assert first.returncode == 0, first.stderr
    assert "| Market1501 |" in first.stdout
    start = torch.load(out / "model_final.pth", weights_only=False)["model"]
    again = python(*command[:3], "--resume", *command[3:], "SOLVER.MAX_EPOCH", "2", FASTREID_DATASETS=str(tmp_path))
    assert again.returncode == 0, again.stderr
    assert "Starting training from epoch 1" in again.stdout
    end = torch.load(out / "model_final.pth", weights_only=False)["model"]
    assert sum(not torch.equal(start[name], end[name]) for name in start) > 0.9 * len(start)
