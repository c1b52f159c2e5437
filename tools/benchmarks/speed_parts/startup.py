"""Cost of starting: importing torch, importing the engine, a training's way to its first step, --help of every script.

Wall time means little on a busy machine, so the CPU seconds of child processes are measured, in alternation.
"""

import json
import os
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from _moved import NEW_NAMES

from speed_parts.measure import Subject
from speed_parts.sizes import size
from vireid_plugins.data.synthetic.sizes import SysuSize
from vireid_plugins.data.synthetic.sysu import write_sysu

TOOLS = Path(__file__).resolve().parents[2]
TORCH = ("-c", "import torch")
# Without the end of the process, a fifth of its time, which a training's first step does not have.
TORCH_ALONE = ("-c", "import os, torch; os._exit(0)")


def command_lines() -> list[str]:
    """Return every script, relative to tools/, except those under old names."""
    scripts = (*TOOLS.glob("[!_]*.py"), *TOOLS.glob("benchmarks/[!_]*.py"))
    return sorted({str(script.relative_to(TOOLS)) for script in scripts} - set(NEW_NAMES))


def cpu_seconds(words: tuple[str, ...], **environment: str) -> float:
    """Run this interpreter with arguments and return the CPU seconds, user and system, that it took.

    Args:
        words: the arguments.
        environment: variables to add.

    Raises:
        RuntimeError: it failed.
    """
    quiet = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    # As after an installation: the modules are compiled, here by the warm-up.
    given = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"} | environment
    pid = os.posix_spawn(sys.executable, [sys.executable, *words], given, file_actions=quiet)
    _, status, used = os.wait4(pid, 0)
    if status:
        raise RuntimeError(f"{' '.join(words)} ended with exit code {os.waitstatus_to_exitcode(status)}")
    return used.ru_utime + used.ru_stime


def first_step(folder: Path) -> float:
    """Train on a synthetic tree, and return the CPU seconds from the command to the first step, without the step.

    Args:
        folder: a scratch folder for the tree, of 48,840 images, and what is written.
    """
    if not (folder / "SYSU-MM01").exists():
        tree = size(SysuSize(height=24, width=12), SysuSize(train=4, val=2, test=2, images=2, height=24, width=12))
        write_sysu(folder / "SYSU-MM01", tree, workers=1)
    # A small step, which is taken off. The other keys are those of the recipe.
    keys = f"""
        MODEL.BACKBONE.PRETRAIN False MODEL.DEVICE cpu DATALOADER.NUM_WORKERS 0 SOLVER.IMS_PER_BATCH 16 SEED 1
        INPUT.SIZE_TRAIN [32,16] OUTPUT_DIR {folder / "run"}
    """
    plugin, found = TOOLS / "benchmarks" / "speed_parts" / "first_step.py", folder / "first_step.json"
    words = (str(TOOLS / "train_net.py"), "--plugin", str(plugin), "--config-file", "SYSU/agw.yml", "--quiet")
    shutil.rmtree(folder / "run", ignore_errors=True)
    cpu_seconds((*words, *keys.split()), FASTREID_DATASETS=str(folder), VIREID_FIRST_STEP=str(found))
    return float(json.loads(found.read_text())["cpu"])


def _against_torch(
    measured: Callable[[Path], float], torch_words: tuple[str, ...], folder: Path, device: str
) -> Callable[[], object]:
    spent: dict[str, list[float]] = {"it": [], "torch": []}

    def run() -> dict[str, float]:
        # In alternation, so that both run under the same load.
        spent["torch"].append(cpu_seconds(torch_words))
        spent["it"].append(measured(folder))
        ours, torch = (sorted(spent[name])[len(spent[name]) // 2] for name in ("it", "torch"))
        return {"CPU s": ours, "import torch, CPU s": torch, "ratio": ours / torch}

    return run


def _of_words(words: tuple[str, ...], folder: Path) -> float:
    return cpu_seconds(words)


def _subjects() -> list[Subject]:
    engine = partial(_of_words, ("-c", "import vireid_plugins.engine"))
    measured: dict[str, tuple[Callable[[Path], float], tuple[str, ...]]] = {
        "import vireid_plugins.engine": (engine, TORCH),
        "vireid train to its first step, 48,840 images": (first_step, TORCH_ALONE),
    }
    for script in command_lines()[: size(None, 1)]:
        measured[f"tools/{script} --help"] = (partial(_of_words, (str(TOOLS / script), "--help")), TORCH)
    return [Subject(task, "against import torch", partial(_against_torch, *how)) for task, how in measured.items()]


SUBJECTS = _subjects()
