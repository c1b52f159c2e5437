"""Cost of starting: importing torch, importing the engine, and --help of every script, in CPU seconds.

Wall time means little on a busy machine, so the CPU seconds of child processes are measured, in alternation.
"""

import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from _moved import NEW_NAMES

from speed_parts.measure import Subject
from speed_parts.sizes import size

TOOLS = Path(__file__).resolve().parents[2]
TORCH = ("-c", "import torch")


def command_lines() -> list[str]:
    """Return every script, relative to tools/, except those under old names."""
    scripts = (*TOOLS.glob("[!_]*.py"), *TOOLS.glob("benchmarks/[!_]*.py"))
    return sorted({str(script.relative_to(TOOLS)) for script in scripts} - set(NEW_NAMES))


def cpu_seconds(words: tuple[str, ...]) -> float:
    """Run this interpreter with arguments and return the CPU seconds, user and system, that it took.

    Raises:
        RuntimeError: it failed.
    """
    quiet = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    pid = os.posix_spawn(sys.executable, [sys.executable, *words], dict(os.environ), file_actions=quiet)
    _, status, used = os.wait4(pid, 0)
    if status:
        raise RuntimeError(f"{' '.join(words)} ended with exit code {os.waitstatus_to_exitcode(status)}")
    return used.ru_utime + used.ru_stime


def _against_torch(words: tuple[str, ...], folder: Path, device: str) -> Callable[[], object]:
    spent: dict[str, list[float]] = {"it": [], "torch": []}

    def run() -> dict[str, float]:
        # In alternation, so that both run under the same load.
        spent["torch"].append(cpu_seconds(TORCH))
        spent["it"].append(cpu_seconds(words))
        ours, torch = (sorted(spent[name])[len(spent[name]) // 2] for name in ("it", "torch"))
        return {"CPU s": ours, "import torch, CPU s": torch, "ratio": ours / torch}

    return run


def _subjects() -> list[Subject]:
    engine = ("-c", "import vireid_plugins.engine")
    found = [Subject("import vireid_plugins.engine", "against import torch", partial(_against_torch, engine))]
    for script in command_lines()[: size(None, 1)]:
        help_ = partial(_against_torch, (str(TOOLS / script), "--help"))
        found.append(Subject(f"tools/{script} --help", "against import torch", help_))
    return found


SUBJECTS = _subjects()
