"""Train and score a run in its own process."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shared_parts.environment import environment
from shared_parts.errors import BenchmarkError

from learning_parts.activity import AFFINITY
from learning_parts.curves import curves
from learning_parts.rows import SCORES
from learning_parts.runs import Run
from learning_parts.starts import STARTS
from learning_parts.trees import TREES
from learning_parts.variants import VARIANTS
from learning_parts.weights import imagenet_weights
from vireid_plugins.config import config_path

# The script that the process runs.
SCRIPT = Path(__file__).with_name("activity.py")
# By default glibc returns large blocks to the system after every layer, which takes a third of the CPU time.
KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "4294967296", "MALLOC_TOP_PAD_": "268435456"}


def train(run: Run, root: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Train and score in a separate process with one thread, so that a run repeats to the digit.

    Args:
        run: the run.
        root: data root with the tree.
        overrides: further overrides of the configuration.

    Returns:
        the run, its scores in percent, also with affinity inference, CPU seconds, environment, the forced overrides,
        the activity of its network, and its losses and clusters on the way.

    Raises:
        BenchmarkError: training failed; the message ends with the last lines of its output.
        InstallError: the ImageNet weights are missing.
    """
    config = config_path(f"demo/{VARIANTS[run.variant].config}.yml")
    data = TREES[run.tree].root(root)
    given = ["MODEL.BACKBONE.PRETRAIN_PATH", str(imagenet_weights())] if STARTS[run.start].weights else []
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(SCRIPT), "--config-file", str(config)]
        done = subprocess.run(
            [*command, *run.overrides(), *given, "OUTPUT_DIR", folder, "DATALOADER.CACHE", str(root / "cache"),
             *overrides],
            env={**os.environ, "FASTREID_DATASETS": str(data), "OMP_NUM_THREADS": "1", **KEEP_MEMORY},
            capture_output=True,
            text=True,
            check=False,
        )  # fmt: skip
        if done.returncode:
            last = "\n".join((done.stdout + done.stderr).splitlines()[-5:])
            raise BenchmarkError(f"{run.variant}, seed {run.seed} on {run.tree} ended with {done.returncode}:\n{last}")
        scores = _scores(Path(folder))
        affinity = _scores(Path(folder) / AFFINITY) if (Path(folder) / AFFINITY).is_dir() else {}
        measured = json.loads((Path(folder) / "activity.json").read_text(encoding="utf-8"))
        on_the_way = curves(Path(folder))
    where = environment("cpu")
    return {
        **dict(zip(("start", "tree", "variant", "seed", "epochs"), run.key(), strict=True)),
        **scores,
        "cpu_seconds": round(measured["cpu_seconds"], 1),
        **{key: where[key] for key in ("device", "torch", "commit")},
        "forced": run.forced(),
        "modules": {name: [float(f"{v:.3g}") for v in values] for name, values in measured["modules"].items()},
        "losses": {name: [float(f"{v:.3g}") for v in values] for name, values in measured["losses"].items()},
        "idle": measured["idle"],
        "affinity": affinity,
        "curves": on_the_way,
    }


def _scores(folder: Path) -> dict[str, float]:
    """Return the scores in percent that a run wrote."""
    report = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
    return {name: round(report["results"][0]["mean"][name], 2) for name in SCORES}
