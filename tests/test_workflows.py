"""The public CI runs make targets and nothing else, so that it does what a clone on anyone's machine does."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def commands(file: Path) -> list[str]:
    """What a workflow runs, line by line."""
    jobs: dict[str, Any] = yaml.safe_load(file.read_text())["jobs"]
    runs = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    return [line for run in runs for line in run.splitlines()]


def require_target(command: str) -> None:
    words = [word for word in command.split() if not word.startswith("--")]
    assert words[0] == "make", command
    assert words[1] in TARGETS, command


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_workflows_run_make_targets_alone(file: Path) -> None:
    found = commands(file)
    assert found
    for command in found:
        require_target(command)


def test_ci_run_runs_make_targets_alone() -> None:
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    for line in lines[lines.index("fi") + 1 :]:
        require_target(line)


def test_read_the_docs_runs_a_make_target() -> None:
    (command,) = yaml.safe_load((ROOT / ".readthedocs.yaml").read_text())["build"]["commands"]
    require_target(command)


def test_matrix_rows_are_the_classifiers_and_the_table_of_the_docs() -> None:
    # Not those of a make that runs this suite with rows of its own.
    env = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKEOVERRIDES", "MATRIX")}
    said = subprocess.run(
        ["make", "--silent", "matrix-rows"], cwd=ROOT, env=env, capture_output=True, text=True, check=True
    )
    pythons = {row["python"] for row in json.loads(said.stdout.removeprefix("rows="))}
    classifiers = re.findall(r"Python :: (3\.\d+)", (ROOT / "setup.py").read_text())
    table = re.findall(r"^\| (3\.\d+)", (ROOT / "docs" / "install.md").read_text(), re.MULTILINE)
    assert pythons == set(classifiers) == set(table)
