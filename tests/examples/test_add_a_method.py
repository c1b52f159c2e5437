"""The patch of docs/extending.md adds a whole method, touches nothing that it need not, and its tests pass."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from helpers import ROOT, python

APPLIED = (ROOT / "vireid_plugins" / "methods" / "two_depths").exists()
PATCH = ROOT / "examples" / "add_a_method.patch"
OWN = re.compile(
    r"(vireid_plugins/methods|tests/methods)/two_depths/\w+\.py|configs/\w+/two_depths\.yml|docs/methods/\w+\.md"
)


def test_add_a_method_touches_its_own_files_and_two_lines() -> None:
    changed = re.findall(r"^\+\+\+ b/(.*)$", PATCH.read_text(), re.MULTILINE)
    assert [file for file in changed if not OWN.fullmatch(file)] == [
        "docs/index.md",
        "vireid_plugins/methods/__init__.py",
    ]
    for file in ("docs/index.md", "vireid_plugins/methods/__init__.py"):
        (hunk,) = re.findall(rf"^\+\+\+ b/{file}\n(.*?)(?=^diff|\Z)", PATCH.read_text(), re.MULTILINE | re.DOTALL)
        assert len(re.findall(r"^[-+]", hunk, re.MULTILINE)) == 1


@pytest.mark.skipif(APPLIED, reason="the patch is applied in this tree")
def test_add_a_method_applies_and_its_tests_pass(tmp_path: Path) -> None:
    for name in ("vireid_plugins", "configs", "docs", "tests"):
        ignored = shutil.ignore_patterns("__pycache__", "fixtures", "benchmarks", "_build")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    for name in ("pyproject.toml", "vireid_command.py"):
        shutil.copy(ROOT / name, tmp_path / name)
    subprocess.run(["git", "apply", str(PATCH)], cwd=tmp_path, check=True)
    ran = python(
        *("-m", "pytest", "-n", "0", "-p", "no:cacheprovider", "tests/methods/two_depths"),
        cwd=tmp_path,
        PYTHONPATH=str(tmp_path),
    )
    assert ran.returncode == 0, ran.stdout[-2000:]
    assert "4 passed" in ran.stdout
