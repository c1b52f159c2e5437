import importlib.metadata
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from helpers import CONFIGS, ROOT, SMALL_FRESH, python


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The content of a wheel built from this checkout, outside of it."""
    folder = tmp_path_factory.mktemp("wheel")
    # From a copy: setuptools leaves its build folder behind, and would ship modules that have since been removed.
    source = folder / "source"
    for name in ("vireid_plugins", "configs"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("vireid_command.py", "setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    built = python("-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(source), cwd=folder)
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "site")
    return folder / "site"


def test_wheel_when_installed_finds_every_config(installed: Path, tmp_path: Path) -> None:
    script = (
        "import sys, vireid_plugins\nfrom vireid_plugins.config import config_path, get_cfg\n"
        "print(vireid_plugins.__file__)\n"
        "for name in sys.argv[1:]:\n    print(config_path(name)); get_cfg().merge_from_file(config_path(name))\n"
    )
    ran = python("-c", script, *CONFIGS, cwd=tmp_path, PYTHONPATH=str(installed))
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.split()
    assert len(lines) == 1 + len(CONFIGS)
    assert all(line.startswith(str(installed)) for line in lines)


def test_wheel_holds_every_module_and_nothing_of_the_tests(installed: Path) -> None:
    modules = {str(file.relative_to(ROOT)) for file in (ROOT / "vireid_plugins").rglob("*.py")}
    shipped = {str(file.relative_to(installed)) for file in installed.rglob("*.py")}
    assert shipped == modules | {"vireid_command.py"}
    packages = {file.name for file in installed.iterdir() if file.is_dir() and file.suffix != ".dist-info"}
    assert packages == {"vireid_plugins"}
    # They live in tools/benchmarks and tests/reference.
    assert not [name for name in shipped if "benchmark" in name or "naive" in name or "_parts" in name]
    for name in ("py.typed", "visualize/report.html"):
        assert (installed / "vireid_plugins" / name).exists()


@pytest.mark.parametrize("trains", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["keys", "training"])
def test_wheel_installs_the_command_vireid(trains: bool, installed: Path, little_tree: Path, tmp_path: Path) -> None:
    """In an empty folder, by what pip writes into the script of the entry point."""
    (distribution,) = importlib.metadata.distributions(path=[str(installed)])
    (entry,) = distribution.entry_points
    assert (entry.group, entry.name) == ("console_scripts", "vireid")
    script = f"import sys; sys.argv[0] = 'vireid'; from {entry.module} import {entry.attr}; {entry.attr}()"

    def vireid(*words: str) -> subprocess.CompletedProcess[str]:
        environment = {"PYTHONPATH": str(installed), "FASTREID_DATASETS": str(little_tree)}
        return python("-c", script, *words, cwd=tmp_path, **environment)

    assert "DATASETS.SYSU.TRAIN" in vireid("keys", "SYSU").stdout
    if not trains:
        return
    ran = vireid("train", "--config-file", "SYSU/one_stream.yml", *SMALL_FRESH, "OUTPUT_DIR", "out")
    assert ran.returncode == 0, ran.stderr
    assert "sysu/official/all/1shot" in ran.stdout
    assert (tmp_path / "out" / "model_final.pth").exists()
