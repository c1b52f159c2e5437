"""What a result or a bug depends on besides the code: python -m vireid_plugins.collect_env."""

import importlib.metadata
import os
import platform
import sys

import torch

import vireid_plugins

PACKAGES = (
    "fastreid", "torch", "torchvision", "numpy", "Pillow", "scipy", "scikit-learn", "faiss-cpu", "numba", "yacs",
    "tensorboard", "matplotlib", "onnx", "onnxruntime",
)  # fmt: skip


def collect() -> dict[str, str]:
    """Return versions of packages, Python, platform, devices and the data root, for people and JSON."""
    found = {"vireid_plugins": vireid_plugins.__version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    found["platform"] = platform.platform()
    found["threads"] = f"{torch.get_num_threads()} of {os.cpu_count()} processors"
    devices = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
    found["cuda"] = f"{torch.version.cuda}: {', '.join(devices)}" if devices else "no device"
    found["FASTREID_DATASETS"] = os.environ.get("FASTREID_DATASETS", "not set")
    return found


def described() -> str:
    """Return one line a fact."""
    return "".join(f"{name}: {value}\n" for name, value in collect().items())


if __name__ == "__main__":
    sys.stdout.write(described())
