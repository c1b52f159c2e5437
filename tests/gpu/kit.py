"""Run what needs a CUDA device: the tests in this folder, then a table of speed. `make gpu` calls it.

    python tests/gpu/kit.py --device cuda

It needs only the standard library to check that the rest is available, and installs nothing. Exit code 2: something is
missing, and nothing was run; 1: a test failed, or a row of the table was not measured.
"""

import argparse
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# What is imported, and how pip installs it.
MODULES = {
    "torch": "torch",
    "torchvision": "torchvision",
    "numpy": "numpy",
    "PIL": "Pillow",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
    "yacs": "yacs",
    "termcolor": "termcolor",
    "tabulate": "tabulate",
    "tensorboard": "tensorboard",
    "faiss": "faiss-cpu",
    "tqdm": "tqdm",
    "numba": "numba",
    "filelock": "filelock",
    "pytest": "pytest",
    "fastreid": "--no-deps fastreid==1.4.0",
}
# Of everything, and the share of it after which no test begins.
SECONDS = {"cuda": 600, "cpu": 3600}
TESTS = 0.5
TABLE = ROOT / "docs" / "benchmarks" / "training-cuda.json"
# Not those of pyproject.toml: they need pytest-xdist and leave these tests out.
PYTEST = ["-m", "pytest", "tests/gpu", "-m", "gpu", "-rs", "-o", "addopts=-q --strict-markers --import-mode=importlib"]


def missing() -> list[str]:
    """Return a line for each module that is not there."""
    return [
        f"error: {sys.executable} has no module '{name}': {sys.executable} -m pip install {how}"
        for name, how in MODULES.items()
        if importlib.util.find_spec(name) is None
    ]


def no_device(device: str) -> list[str]:
    """Return a line if torch cannot use the device."""
    import torch

    if device == "cpu" or torch.cuda.is_available():
        return []
    return [
        f"error: torch {torch.__version__} of {sys.executable} sees no CUDA device; `make gpu GPU_DEVICE=cpu` is a dry "
        "run without one"
    ]


def environment(device: str, seconds: float) -> dict[str, str]:
    """Return the environment of the tests and the table, which need the package and not its install."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    found = {"PYTHONPATH": path, "VIREID_GPU_DEVICE": device, "VIREID_GPU_SECONDS": str(seconds)}
    return {**os.environ, **found}


def ran(words: Sequence[str], environment: dict[str, str], seconds: float) -> bool:
    """Run this interpreter and say whether it ended well and in time."""
    try:
        return subprocess.run([sys.executable, *words], cwd=ROOT, env=environment, timeout=seconds).returncode == 0
    except subprocess.TimeoutExpired:
        print(f"error: {' '.join(words[:3])} was stopped after {seconds:.0f} s")
        return False


@contextmanager
def table_of(device: str) -> Iterator[Path]:
    """Give the file of the table; a dry run's is nobody's."""
    if device != "cpu":
        yield TABLE
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / TABLE.name


def main(argv: Sequence[str] | None = None) -> int:
    """Look, run and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=list(SECONDS), default="cuda", help="cpu is the dry run")
    parser.add_argument("--seconds", type=int, help="of everything (default 600, of the dry run 3600)")
    args = parser.parse_args(argv)
    if trouble := missing() or no_device(args.device):
        print("\n".join(trouble), file=sys.stderr)
        return 2
    seconds = args.seconds or SECONDS[args.device]
    end = time.monotonic() + seconds
    given = environment(args.device, seconds * TESTS)
    print(f"== tests/gpu on {args.device}", flush=True)
    good = ran(PYTEST, given, seconds)
    print("== training steps of every method", flush=True)
    with table_of(args.device) as file:
        left = max(1, int(end - time.monotonic()))
        words = ["tools/benchmarks/speed.py", "gpu", "--device", args.device, "--seconds", str(left)]
        # It keeps its time itself, and names what it has left out.
        good &= ran([*words, "--json", str(file), "--repeats", "3" if args.device == "cuda" else "1"], given, left + 60)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
