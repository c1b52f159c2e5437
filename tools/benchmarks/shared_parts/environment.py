"""What a measured number depends on."""

import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numba
import numpy as np
import scipy
import torch


def environment(device: str) -> dict[str, Any]:
    """Return what a number depends on: device, threads, versions and commit."""
    return {
        "device": torch.cuda.get_device_name() if device != "cpu" else _processor(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "numba": numba.__version__,
        "scipy": scipy.__version__,
        "commit": _commit(),
        **({} if device == "cpu" else _cuda()),
    }


def _commit() -> str:
    """Return the commit, marked if the code has changes; measurements change the docs, and not what is measured."""
    commit = _first_line(["git", "rev-parse", "--short", "HEAD"])
    changed = _first_line(["git", "diff", "--name-only", "HEAD", "--", ".", ":(top,exclude)docs"])
    return commit if changed == "unknown" else f"{commit}-dirty"


def _cuda() -> dict[str, Any]:
    driver = _first_line(["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"])
    return {"driver": driver, "CUDA": torch.version.cuda, "cuDNN": torch.backends.cudnn.version()}


def _first_line(command: Sequence[str]) -> str:
    """Return the first line of a command's output, or "unknown"."""
    try:
        line = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split("\n")[0].strip()
    except OSError:
        line = ""
    return line or "unknown"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
