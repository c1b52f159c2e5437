"""Write `fixtures/checkpoints/<method>.json`: python tests/make_checkpoint_manifests.py [METHOD ...].

This was run by hand, from a clean checkout of the commit before the package's modules were moved; for MPANet, SAAI, PMT
and RLE of the first with all of them, with `VIREID_TEST_WIDE_RESNET=1`.
`engine/test_checkpoints_of_earlier_commits.py` checks later commits against the manifests, and this file documents how
they were made. A run on a later commit describes that commit, so do not overwrite them with it.

Each method of `configs/SYSU` is trained at the suite's small size on the suite's little tree. The manifest describes
its checkpoint after the first epoch; for WRIM-Net and the later methods it is that of a run stopped by a signal in the
second epoch, since only such a checkpoint has losses that are not written yet. DEEN keeps an average of its weights.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from checkpoint_manifests import FOLDER, describe, fill
from conftest import LITTLE, LITTLE_LLCM, LITTLE_REGDB, write_trees
from fastreid.utils.env import seed_all_rng
from helpers import ROOT, SMALL, SMALL_METHODS

from vireid_plugins.config import CfgNode, config_path, get_cfg
from vireid_plugins.engine import Trainer
from vireid_plugins.errors import StoppedError

KEYS = [
    "SOLVER.BASE_LR", "1e-5", "SOLVER.MAX_EPOCH", "2", "SOLVER.STEPS", "[1]", "SOLVER.METRICS_PERIOD", "2",
    "TEST.PROTOCOLS", "['sysu/agw/all/1shot']", "SEED", "0",
]  # fmt: skip
# Relative, so that the manifests say nothing of where they were made.
OUT = "run"
MORE = {"deen": ["SOLVER.EMA_DECAY", "0.9"]}
# MPANet's and SAAI's sampler has two steps an epoch: stopped at its end, so that the next step ends none.
STOPPED_AT = {"wrim": 7, "mpanet": 1, "saai": 1}


def git(*words: str) -> str:
    return subprocess.run(["git", "-C", str(ROOT), *words], check=True, capture_output=True, text=True).stdout.strip()


def trained(cfg: CfgNode, stopped_at: int | None) -> Trainer:
    """Train until a signal comes in an iteration, by default the first of the second epoch."""
    seed_all_rng(cfg.SEED)
    trainer = Trainer(cfg)
    run_step = trainer.run_step

    def stopping() -> None:
        if trainer.iter == (trainer.iters_per_epoch if stopped_at is None else stopped_at):
            os.kill(os.getpid(), signal.SIGTERM)
        run_step()

    trainer.run_step = stopping
    with contextlib.suppress(StoppedError):
        trainer.train()
    return trainer


def manifest(method: str) -> dict[str, Any]:
    config_file = f"SYSU/{method}.yml"
    overrides = [*SMALL, *SMALL_METHODS.get(method.removesuffix("_released"), []), *KEYS, *MORE.get(method, [])]
    cfg = get_cfg()
    cfg.merge_from_file(config_path(config_file))
    cfg.merge_from_list([*overrides, "OUTPUT_DIR", OUT])
    stopped_at = STOPPED_AT.get(method)
    Path(OUT).mkdir()
    trainer = trained(cfg, stopped_at)
    file = Path(OUT) / "last.pth"
    described = describe(torch.load(file, weights_only=True))
    assert describe(fill(described)) == described
    names = {id(parameter): name for name, parameter in trainer.model.named_parameters()}
    groups = trainer.optimizer.param_groups
    return {
        "commit": git("rev-parse", "HEAD"),
        "config_file": config_file,
        "overrides": overrides,
        "parameters": [names[id(parameter)] for group in groups for parameter in group["params"]],
        "checkpoint": described,
    }


def main() -> None:
    if git("status", "--porcelain", "--", "vireid_plugins", "configs"):
        sys.exit("error: vireid_plugins or configs differ from the commit that the manifests would name")
    torch.set_num_threads(1)
    FOLDER.mkdir(exist_ok=True)
    for method in sys.argv[1:] or sorted(file.stem for file in (ROOT / "configs" / "SYSU").glob("*.yml")):
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            os.environ["FASTREID_DATASETS"] = str(write_trees(Path(folder), LITTLE, LITTLE_REGDB, LITTLE_LLCM))
            made = json.dumps(manifest(method), separators=(",", ":"), allow_nan=False)
            (FOLDER / f"{method}.json").write_text(made + "\n", encoding="utf-8")
            os.chdir(ROOT)


if __name__ == "__main__":
    main()
