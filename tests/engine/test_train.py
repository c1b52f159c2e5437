"""`setup`: the seed of a run."""

from pathlib import Path

import pytest
from helpers import python, small_cfg

from vireid_plugins.engine import Run, setup

# Where a process starts from is drawn, as forked processes would start from the same state.
SCRIPT = """
import random, sys
import numpy as np
import torch
from vireid_plugins.engine import Run, setup
random.seed(); np.random.seed(); torch.seed()
cfg = setup(Run("SYSU/wrim.yml", ["OUTPUT_DIR", sys.argv[1], "MODEL.DEVICE", "cpu", "SEED", sys.argv[2]]))
print("drawn", cfg.SEED, torch.rand(1).item(), np.random.rand(), random.random())
"""


@pytest.mark.parametrize(("seed", "repeats"), [("5", True), ("-1", False)], ids=["given", "drawn"])
def test_setup_with_a_seed_repeats_a_run_and_with_minus_one_draws_one_that_is_kept(
    tmp_path: Path, seed: str, repeats: bool
) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    ran = [python(str(tmp_path / "script.py"), str(tmp_path / name), seed) for name in "ab"]
    assert all(r.returncode == 0 for r in ran), ran[0].stderr + ran[1].stderr
    drawn = [r.stdout.splitlines()[-1].split()[1:] for r in ran]
    for a, b in zip(*drawn, strict=True):
        assert (a == b) is repeats
    for name, (number, *_) in zip("ab", drawn, strict=True):
        assert int(number) >= 0
        assert f"SEED: {number}\n" in (tmp_path / name / "log.txt").read_text()


def test_setup_of_a_resumed_run_keeps_the_seed_it_drew(tmp_path: Path) -> None:
    cfg = small_cfg("SYSU/wrim.yml", "SEED", "4711")
    (tmp_path / "config.yaml").write_text(cfg.dump())
    opts = ["OUTPUT_DIR", str(tmp_path), "MODEL.DEVICE", "cpu", "SEED", "-1"]
    seeds = [setup(Run("SYSU/wrim.yml", opts, resume=resume)).SEED for resume in (True, False)]
    assert seeds[0] == 4711
    assert seeds[1] != 4711
