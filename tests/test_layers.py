"""Arrows between the parts of the package go one way (CONTRIBUTING.md)."""

import ast
from pathlib import Path

import pytest
from helpers import ROOT

PACKAGE = ROOT / "vireid_plugins"
# What each part may import besides itself and what is EVERYBODYS. Arrows point down: a part imports rows below its own.
PEOPLE = {"engine", "methods", "modeling", "layers", "evaluation", "data"}
ALLOWED = {
    "__main__": set(),
    "cli": {"checkpoints", "visualize", "export", "search", *PEOPLE},
    "deploy": {"checkpoints"},
    "visualize": {"collect_env", "search", *PEOPLE},
    "collect_env": {""},
    "": {"data", "methods", "modeling"},
    "search": PEOPLE,
    "export": PEOPLE,
    "checkpoints": PEOPLE,
    "stock": PEOPLE,
    "engine": {"methods", "modeling", "layers", "evaluation", "data"},
    "methods": {"modeling", "layers", "data"},
    "modeling": {"layers", "data"},
    "layers": set(),
    "evaluation": {"data"},
    "data": set(),
    "config": set(),
    "compat": set(),
    "processes": set(),
    "fork_server": set(),
    "io": set(),
    "errors": set(),
}
EVERYBODYS = {"config", "compat", "processes", "io", "errors"}
# Inside a part: losses know tensors and what they look at, metrics know arrays.
NARROWER = {
    "modeling/losses": ("modeling.losses", "modeling.loss_inputs", "layers", "config.check", "config.keys", "errors"),
    "evaluation/metrics.py": (
        *("evaluation.drop_rules", "evaluation.rank_positions", "evaluation.types", "errors"),
        "data.datasets.sysu_mm01",
    ),
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
    rows = list(ALLOWED)
    for file in files:
        for name in imports(file):
            first = name.split(".")[0]
            assert first in {part, *EVERYBODYS} | ALLOWED[part], f"{file.relative_to(ROOT)} imports {name}"
            assert rows.index(first) >= rows.index(part), f"{file.relative_to(ROOT)} imports {name}, which is above it"


def test_allowed_names_every_part() -> None:
    assert {part_of(file) for file in PACKAGE.rglob("*.py")} == set(ALLOWED)


@pytest.mark.parametrize("place", NARROWER)
def test_narrower_imports_are_kept(place: str) -> None:
    target = PACKAGE / place
    for file in target.rglob("*.py") if target.is_dir() else [target]:
        for name in imports(file):
            assert name.startswith(NARROWER[place]), f"{file.relative_to(ROOT)} imports {name}"
