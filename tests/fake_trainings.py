"""Trainings that cost nothing: a small process that writes what a run leaves behind.

Run as a script, this file sweeps with them: python fake_trainings.py FILE.yml, and can be killed at any time.
"""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from vireid_plugins.experiments import local, outcomes
from vireid_plugins.processes import _EARLY

# Like a training it says when it starts, takes a while, and is finished when it has written its last file.
TRAINING = """
import os, sys, time
words = sys.argv[1:]
folder = words[words.index("OUTPUT_DIR") + 1]
with open(os.path.join(folder, "starts"), "a") as starts:
    starts.write(f"{os.getpid()} {'--resume' in words} {os.environ.get('CUDA_VISIBLE_DEVICES')}\\n")
open(os.path.join(folder, "model_0000.pth"), "w").close()
if "SOLVER.BASE_LR" in words and words[words.index("SOLVER.BASE_LR") + 1] == "0.5":
    print("Traceback\\nerror: of this run\\nbye", flush=True)
    sys.exit(1)
time.sleep(float(os.environ.get("FAKE_SECONDS", "0")))
open(os.path.join(folder, "done"), "w").close()
"""


def start(words: Sequence[str], output: int, env: Mapping[str, str]) -> Any:
    """In place of `start_command`: such a process, which ends with this one as a training does."""
    early = f"{_EARLY.format(parent=os.getpid())}\n"
    return subprocess.Popen([sys.executable, "-S", "-c", early + TRAINING, *words], stdout=output, env=dict(env))


def finished(folder: Path, epochs: int, scored: bool = True) -> bool:
    return (folder / "done").is_file()


def starts(folder: Path) -> list[str]:
    """The line of every start of a run."""
    return (folder / "starts").read_text().splitlines() if (folder / "starts").is_file() else []


def install(patch: Any) -> None:
    patch.setattr(local, "start_command", start)
    patch.setattr(outcomes, "finished", finished)


if __name__ == "__main__":
    from vireid_plugins.experiments.sweep import run_sweep
    from vireid_plugins.experiments.sweep_file import read_sweep

    with pytest.MonkeyPatch.context() as patched:
        install(patched)
        run_sweep(read_sweep(Path(sys.argv[1])), [], lambda _: None)
