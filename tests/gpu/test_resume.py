"""A run on the device that is killed and resumed ends with the weights of one that nothing happened to."""

import signal
from pathlib import Path

import pytest
import torch
from helpers import ROOT, SMALL, python
from on_device import CUDA, DEVICE

from vireid_plugins.engine.checkpoint import load_checkpoint

pytestmark = pytest.mark.gpu
HERE = ROOT / "tests" / "gpu"
# DEEN draws from the device's generator (dropout). Of the two epochs of five steps the second one is lost.
KEYS = [
    *SMALL, "SOLVER.MAX_EPOCH", "2", "SOLVER.METRICS_PERIOD", "2", "SOLVER.EMA_DECAY", "0.9", "TEST.EVAL_PERIOD", "2",
    "TEST.PROTOCOLS", "['sysu/agw/all/1shot']", "MODEL.DEEN.DROPOUT", "0.3", "MODEL.DEVICE", DEVICE,
]  # fmt: skip
# With the scaler's state in the checkpoint; a CPU has no float16.
HALF = ["SOLVER.AMP.ENABLED", "True", "SOLVER.AMP.DTYPE", "float16"]


def run(out: Path, point: str, *more: str) -> tuple[int, str]:
    words = [
        str(HERE / "deterministic.py"), str(ROOT / "tests" / "engine" / "dying.py"), point, *more,
        "--config-file", "configs/SYSU/deen.yml", *KEYS, *(HALF if CUDA else []), "OUTPUT_DIR", str(out),
    ]  # fmt: skip
    # Where there is CUDA, each in a fresh process: what has been forked may not use it.
    done = python(*words, **({"OMP_NUM_THREADS": "1"} if CUDA else {}))
    return done.returncode, done.stderr


@pytest.mark.usefixtures("little_root")
def test_run_that_is_killed_and_resumed_is_the_run_that_nothing_happened_to(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    code, said = run(whole, "never")
    assert code == 0, said
    code, said = run(broken, "step:7")
    assert code == -signal.SIGKILL, said
    code, said = run(broken, "never", "--resume")
    assert code == 0, said
    expected, found = (load_checkpoint(out / "last.pth") for out in (whole, broken))
    for part in ("model", "average"):
        first, second = (one[part] if part == "model" else one[part]["model"] for one in (expected, found))
        assert [key for key, value in first.items() if not torch.equal(value, second[key])] == []
    torch.testing.assert_close(found["optimizer"]["state"], expected["optimizer"]["state"], rtol=0, atol=0)
    assert found.get("grad_scaler") == expected.get("grad_scaler")
