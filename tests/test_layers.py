"""Arrows between the parts of the package go one way (CONTRIBUTING.md)."""

import pytest
from architecture import FIGURE, PACKAGE, figure, imports, part_of
from helpers import ROOT

# What each part may import besides itself and what is EVERYBODYS. Arrows point down: a part imports rows below its own.
PEOPLE = {"engine", "extraction", "methods", "modeling", "unsupervised", "layers", "evaluation", "data"}
ALLOWED = {
    "__main__": set(),
    "cli": {"experiments", "checkpoints", "visualize", "export", "search", "detections", *PEOPLE},
    "deploy": {"checkpoints"},
    "experiments": {"visualize", *PEOPLE},
    "visualize": {"search", "collect_env", *PEOPLE},
    "": {"search", "engine", "data", "methods", "modeling"},
    "search": {"detections", *PEOPLE},
    "detections": {"data"},
    "export": PEOPLE,
    "checkpoints": PEOPLE,
    "stock": PEOPLE,
    "engine": {"collect_env", "extraction", "methods", "modeling", "unsupervised", "layers", "evaluation", "data"},
    "extraction": {"layers", "data"},
    "methods": {"modeling", "unsupervised", "layers", "data"},
    "modeling": {"unsupervised", "layers", "data"},
    "unsupervised": {"evaluation", "data"},
    "layers": set(),
    "evaluation": {"data"},
    "data": set(),
    "collect_env": set(),
    "config": set(),
    "compat": set(),
    "fork_server": set(),
    "processes": set(),
    "collector": set(),
    "io": set(),
    "errors": set(),
    "escape": set(),
}
EVERYBODYS = {"config", "compat", "processes", "collector", "io", "errors", "escape"}
# Inside a part: losses know tensors and what they look at, metrics know arrays.
NARROWER = {
    "modeling/losses": (
        *("modeling.losses", "modeling.loss_inputs", "unsupervised.memory", "layers", "config.check", "config.keys"),
        "errors",
    ),
    "evaluation/metrics.py": (
        *("evaluation.distances", "evaluation.drop_rules", "evaluation.labels", "evaluation.rank_positions"),
        *("evaluation.types", "evaluation.choices", "errors"),
        *("evaluation.nearest", "evaluation.open_set"),
        "data.datasets.sysu_mm01",
    ),
}


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


def test_figure_of_the_architecture_is_current() -> None:
    assert FIGURE.read_text() == figure(), "run python tools/benchmarks/architecture.py"
