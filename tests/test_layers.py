"""Arrows between the parts of the package go one way (CONTRIBUTING.md)."""

import ast
from pathlib import Path

import pytest
from helpers import ROOT

PACKAGE = ROOT / "vireid_plugins"
# What each part may import besides itself; `errors`, `files` and `processes` are everybody's.
ALLOWED = {
    "errors": set(),
    "files": set(),
    "fork_server": set(),
    "processes": set(),
    "compat": set(),
    "config": {"compat"},
    "data": {"config", "compat"},
    "modeling": {"data", "config", "compat"},
    "evaluation": {"data", "config", "compat"},
    "engine": {"evaluation", "modeling", "data", "config", "compat"},
    "deploy": {"engine", "evaluation", "modeling", "data", "config", "compat"},
    "analysis": {
        "benchmark",
        "collect_env",
        "retrieval",
        "engine",
        "evaluation",
        "modeling",
        "data",
        "config",
        "compat",
    },
    "retrieval": {"engine", "evaluation", "modeling", "data", "config", "compat"},
    "benchmark": {"retrieval", "engine", "evaluation", "modeling", "data", "config", "compat"},
    "collect_env": {""},
    "": {"compat", "config", "data", "modeling"},
}
# Inside a part: losses know tensors and bundles, metrics know arrays.
NARROWER = {
    "modeling/losses": ("modeling.losses", "modeling.bundle", "modeling.precision", "config.check", "errors"),
    "evaluation/metrics.py": ("evaluation.places", "errors"),
}


def imports(file: Path) -> set[str]:
    """Modules of this package that a file imports, without the package's name in front."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
            if node.module == "vireid_plugins":
                names = [f"vireid_plugins.{alias.name}" for alias in node.names]
        found |= {n.removeprefix("vireid_plugins").lstrip(".") for n in names if n.split(".")[0] == "vireid_plugins"}
    return found


def part_of(file: Path) -> str:
    first = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return "" if first == "__init__" else first


@pytest.mark.parametrize("part", ALLOWED)
def test_imports_go_one_way(part: str) -> None:
    files = [file for file in PACKAGE.rglob("*.py") if part_of(file) == part]
    assert files
    for file in files:
        for name in imports(file):
            first = name.split(".")[0]
            assert first in {part, "errors", "files", "processes"} | ALLOWED[part], (
                f"{file.relative_to(ROOT)} imports {name}"
            )


def test_allowed_names_every_part() -> None:
    assert {part_of(file) for file in PACKAGE.rglob("*.py")} == set(ALLOWED)


@pytest.mark.parametrize("place", NARROWER)
def test_narrower_imports_are_kept(place: str) -> None:
    target = PACKAGE / place
    for file in target.rglob("*.py") if target.is_dir() else [target]:
        for name in imports(file):
            assert name.startswith(NARROWER[place]), f"{file.relative_to(ROOT)} imports {name}"
