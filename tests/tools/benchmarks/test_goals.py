"""The table of goals: its quotients, its bounds, and its entries that name nothing."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers import ROOT
from table_parts.goals import goals, read_goals

from vireid_plugins.errors import DataError

RESULTS = [
    {"task": "t", "way": "ours", "cpu": [1.0, 2.0, 4.0], "peak": 3 * 2**30, "said": {"operations": 80}},
    {"task": "t", "way": "theirs", "cpu": [8.0, 10.0, 16.0], "peak": 6 * 2**30, "said": {}},
]
OURS, THEIRS = ({"task": "t", "way": way} for way in ("ours", "theirs"))
BASE = {"work": "a step", "compared": "theirs", "json": "t.json", "ours": OURS}


def write(folder: Path, *entries: dict[str, Any]) -> Path:
    (folder / "benchmarks").mkdir()
    (folder / "benchmarks" / "t.json").write_text(json.dumps({"results": RESULTS}))
    (folder / "benchmarks" / "goals.yml").write_text(yaml.safe_dump([BASE | entry for entry in entries]))
    return folder


@pytest.mark.parametrize(
    ("entry", "values", "missed"),
    [
        ({"theirs": THEIRS, "figure": "cpu_seconds", "reach": "<= 0.25"}, (0.2, 1 / 16, 0.5), 0.8),
        ({"theirs": THEIRS, "figure": "cpu_seconds", "reach": ">= 10"}, (5.0, 2.0, 16.0), 2.0),
        ({"figure": "said.operations", "reach": "<= 64"}, (80.0, 80.0, 80.0), 1.25),
        ({"figure": "peak", "reach": "<= 2 GiB"}, (3.0, 3.0, 3.0), 1.5),
        ({"figure": "cpu_seconds", "reach": "<= 4000 ms"}, (2000.0, 1000.0, 4000.0), 0.5),
    ],
)
def test_read_goals_returns_quotients_with_their_spread(
    tmp_path: Path, entry: dict[str, Any], values: tuple[float, ...], missed: float
) -> None:
    (goal,) = read_goals(write(tmp_path, entry) / "benchmarks")
    assert goal.values == pytest.approx(values)
    assert goal.missed_by == pytest.approx(missed)


def test_goals_says_what_is_missed_and_by_how_much(tmp_path: Path) -> None:
    reached = {"theirs": THEIRS, "figure": "cpu_seconds", "reach": "<= 0.25"}
    missed = {"figure": "peak", "reach": "<= 2 GiB", "note": "tried: less"}
    table = goals(write(tmp_path, reached, missed)).splitlines()
    assert "| 0.2 " in table[2]
    assert "| reached " in table[2]
    assert "| 3 GiB " in table[3]
    assert "**missed** by 50 %" in table[3]
    assert "tried: less" in table[3]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"figure": "peak"}, r"entry 1 \(a step\): unknown or missing: reach"),
        ({"figure": "peak", "reach": "<= 1", "way": "x"}, "unknown or missing: way"),
        ({"figure": "peak", "reach": "small"}, "reach must be like .* got 'small'"),
        (
            {"figure": "peak", "reach": "<= 1", "ours": {"task": "t", "way": "none"}},
            "has no .*none.*; it has t: ours",
        ),
        ({"figure": "said.nothing", "reach": "<= 1"}, "has no figure said.nothing for"),
    ],
)
def test_read_goals_of_a_wrong_entry_is_one_error(tmp_path: Path, entry: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        read_goals(write(tmp_path, entry) / "benchmarks")


def test_goals_of_the_docs_have_their_measurements() -> None:
    assert read_goals(ROOT / "docs" / "benchmarks")
