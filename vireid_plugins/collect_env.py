"""Collect versions and devices for bug reports and results: python -m vireid_plugins.collect_env."""

import importlib.metadata
import os
import platform
import re
import sys

import torch

PACKAGES = (
    "fastreid", "torch", "torchvision", "numpy", "Pillow", "scipy", "scikit-learn", "faiss-cpu", "numba", "yacs",
    "tensorboard", "matplotlib", "onnx", "onnxruntime",
)  # fmt: skip


def collect() -> dict[str, str]:
    """Return the versions of Python and packages, the platform, the devices and the data root."""
    # The package is there when its modules are; they import it from no other module.
    here = sys.modules["vireid_plugins"]
    environment = {"vireid_plugins": here.__version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            environment[name] = _version(name)
        except importlib.metadata.PackageNotFoundError:
            environment[name] = "not installed"
    environment["platform"] = platform.platform()
    environment["threads"] = f"{torch.get_num_threads()} of {os.cpu_count()} processors"
    devices = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
    environment["cuda"] = f"{torch.version.cuda}: {', '.join(devices)}" if devices else "no device"
    environment["FASTREID_DATASETS"] = os.environ.get("FASTREID_DATASETS", "not set")
    return environment


def _version(name: str) -> str:
    """Return the version of a distribution; `importlib.metadata.version` reads the whole description with it."""
    found = importlib.metadata.distribution(name)
    line = re.search(r"^Version: *(\S+)", found.read_text("METADATA") or "", re.MULTILINE)
    return line[1] if line else found.version


def described() -> str:
    """Return `collect()` as text, one `name: value` line per entry."""
    return "".join(f"{name}: {value}\n" for name, value in collect().items())


if __name__ == "__main__":
    sys.stdout.write(described())
