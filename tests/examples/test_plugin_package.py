"""A separate package, installed and trained without a change to this repository."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from commands import Ran
from helpers import HANG, ROOT, SMALL, commands, python

CONFIG = "examples/plugin_package/configs/stripes.yml"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that pip installed the example into."""
    folder = tmp_path_factory.mktemp("plugin_package")
    # From a copy: setuptools leaves its build folder behind.
    shutil.copytree(
        ROOT / "examples" / "plugin_package", folder / "source", ignore=shutil.ignore_patterns("__pycache__")
    )
    ran = python(
        "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index",
        "--target", str(folder / "site"), str(folder / "source"),
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return folder / "site"


@pytest.fixture(scope="module")
def command(installed: Path) -> Callable[..., Ran]:
    """What runs scripts that find the package."""
    return lambda *words: commands().run([*words], ROOT, {"PYTHONPATH": str(installed)}, HANG)


def test_train_net_without_the_package_names_what_is_missing() -> None:
    ran = python("tools/train_net.py", "--config-file", CONFIG)
    assert ran.returncode == 1
    assert "unknown key 'MODEL.STRIPES'" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_list_plugins_names_the_parts_of_the_package(command: Callable[..., Ran]) -> None:
    ran = command("tools/list_plugins.py")
    assert ran.code == 0, ran.err
    for name in ("ChannelGate", "ModalityMean", "Stripes"):
        assert any(name in line and "vireid_example" in line for line in ran.out.splitlines()), name


@pytest.mark.usefixtures("little_root")
@pytest.mark.parametrize(
    "script", ["tools/train_net.py", pytest.param("examples/stock_trainer.py", marks=pytest.mark.slow)]
)
def test_trainers_train_and_score_the_package(script: str, command: Callable[..., Ran], tmp_path: Path) -> None:
    ran = command(
        script, "--config-file", CONFIG, *SMALL, "MODEL.STRIPES.COUNT", "2",
        "TEST.PROTOCOLS", "['sysu/agw/all/1shot']", "OUTPUT_DIR", str(tmp_path),
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert "sysu/agw/all/1shot" in ran.out
    weights = torch.load(tmp_path / "model_final.pth", weights_only=True)["model"]
    assert {name.split(".")[1] for name in weights if name.startswith("heads")} == {"stripe0", "stripe1"}
    assert any(".attention.0.gate." in name for name in weights)
    assert "loss_modality_mean" in (tmp_path / "metrics.json").read_text()


@pytest.mark.usefixtures("little_root")
def test_train_net_says_in_one_message_that_stripes_outnumber_rows(command: Callable[..., Ran], tmp_path: Path) -> None:
    ran = command("tools/train_net.py", "--config-file", CONFIG, *SMALL, "OUTPUT_DIR", str(tmp_path))
    assert ran.code == 1
    assert "error: MODEL.STRIPES.COUNT: the last feature map has 4 rows, too few for 6 stripes" in ran.err
    assert "Traceback" not in ran.err
