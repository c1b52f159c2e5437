"""A separate package, installed and trained without a change to this repository."""

import shutil
from pathlib import Path

import pytest
import torch
from helpers import ROOT, SMALL, python

CONFIG = "examples/stranger/configs/stripes.yml"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that pip installed the example into."""
    folder = tmp_path_factory.mktemp("stranger")
    # From a copy: setuptools leaves its build folder behind.
    shutil.copytree(ROOT / "examples" / "stranger", folder / "source", ignore=shutil.ignore_patterns("__pycache__"))
    ran = python(
        "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index",
        "--target", str(folder / "site"), str(folder / "source"),
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return folder / "site"


def test_without_the_package_the_config_names_what_is_missing() -> None:
    ran = python("tools/train_net.py", "--config-file", CONFIG)
    assert ran.returncode == 1
    assert "unknown key 'MODEL.STRIPES'" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_its_parts_are_listed(installed: Path) -> None:
    ran = python("tools/list_plugins.py", PYTHONPATH=str(installed))
    assert ran.returncode == 0, ran.stderr
    for name in ("ChannelGate", "ModalityMean", "Stripes"):
        assert any(name in line and "vireid_stranger" in line for line in ran.stdout.splitlines()), name


def test_it_trains_and_is_scored_also_by_the_stock_trainer(data_root: Path, installed: Path, tmp_path: Path) -> None:
    for script in ("tools/train_net.py", "examples/stock_trainer.py"):
        out = tmp_path / Path(script).stem
        ran = python(
            script, "--config-file", CONFIG, *SMALL, "MODEL.STRIPES.COUNT", "2",
            "TEST.PROTOCOLS", "['sysu/agw/all/1shot']", "OUTPUT_DIR", str(out), PYTHONPATH=str(installed),
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
        assert "sysu/agw/all/1shot" in ran.stdout
        weights = torch.load(out / "model_final.pth", weights_only=True)["model"]
        assert {name.split(".")[1] for name in weights if name.startswith("heads")} == {"stripe0", "stripe1"}
        assert any(".attention.0.gate." in name for name in weights)
        assert "loss_modality_mean" in (out / "metrics.json").read_text()


def test_more_stripes_than_rows_are_one_message(data_root: Path, installed: Path, tmp_path: Path) -> None:
    ran = python(
        "tools/train_net.py", "--config-file", CONFIG, *SMALL, "OUTPUT_DIR", str(tmp_path), PYTHONPATH=str(installed)
    )
    assert ran.returncode == 1
    assert "error: MODEL.STRIPES.COUNT: the last map has 4 rows, which do not make 6 stripes" in ran.stderr
    assert "Traceback" not in ran.stderr
