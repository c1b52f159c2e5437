"""The goals of speed and memory, and what was measured: docs/benchmarks/goals.yml against the benchmark's files."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import yaml
from shared_parts import markdown

from vireid_plugins.errors import DataError

FILE = "goals.yml"
_FIELDS = {"work", "compared", "json", "ours", "theirs", "figure", "reach", "note"}
_REQUIRED = _FIELDS - {"theirs", "note"}
_BOUND = re.compile(r"(<=|>=) ([0-9.]+)(?: (GiB|MiB|s|ms))?")
_UNITS = {"GiB": 2**30, "MiB": 2**20, "ms": 1e-3, "s": 1.0, "": 1.0}


class Bound(NamedTuple):
    """What is to be reached: `<= 0.25`, `>= 20` or `<= 2 GiB` is its sign, number and unit, which may be empty."""

    sign: str
    number: float
    unit: str

    @classmethod
    def parsed(cls, text: str, where: str) -> "Bound":
        """Return the bound that a text is.

        Raises:
            DataError: it is none.
        """
        found = _BOUND.fullmatch(text)
        if found is None:
            raise DataError(f"{where}: reach must be like '<= 0.25', '>= 20' or '<= 2 GiB'; got '{text}'")
        return cls(found[1], float(found[2]), found[3] or "")

    def __str__(self) -> str:
        return f"{self.sign} {self.number:g} {self.unit}".strip()


class Goal(NamedTuple):
    """A row of the table.

    Attributes:
        work: what is done.
        compared: with what.
        values: of each run; divided by those of the other way, if there is one, as (median, least, largest).
        reach: the bound.
        note: what was tried, or what the number does not say.
    """

    work: str
    compared: str
    values: tuple[float, float, float]
    reach: Bound
    note: str

    @property
    def missed_by(self) -> float:
        """How many times the bound the median is on its wrong side; 1 or less: it is reached."""
        ratio = self.values[0] / self.reach.number
        return ratio if self.reach.sign == "<=" else 1 / ratio


def goals(docs: Path) -> str:
    """Return the table of docs/benchmarks/goals.yml."""
    rows = [_row(goal) for goal in read_goals(docs / "benchmarks")]
    return markdown.table(rows, ["work", "compared with", "to reach", "measured", "spread", "", "note"])


def read_goals(folder: Path) -> list[Goal]:
    """Return the goals with what was measured.

    Args:
        folder: of `goals.yml` and the benchmark's files.

    Raises:
        DataError: an entry is incomplete, or names a measurement that its file does not have.
    """
    entries = yaml.safe_load((folder / FILE).read_text(encoding="utf-8"))
    return [_goal(folder, number, entry) for number, entry in enumerate(entries, start=1)]


def _goal(folder: Path, number: int, entry: dict[str, Any]) -> Goal:
    where = f"'{folder / FILE}' entry {number} ({entry.get('work', '?')})"
    wrong = sorted((set(entry) - _FIELDS) | (_REQUIRED - set(entry)))
    if wrong:
        raise DataError(f"{where}: unknown or missing: {', '.join(wrong)}")
    reach = Bound.parsed(str(entry["reach"]), where)
    report = json.loads((folder / entry["json"]).read_text(encoding="utf-8"))
    results = _results(report)
    values = _figures(where, entry, results, "ours")
    if "theirs" in entry:
        others = _figures(where, entry, results, "theirs")
        shown = (median(values) / median(others), min(values) / max(others), max(values) / min(others))
        if reach.sign == ">=":
            # Times as fast.
            shown = (1 / shown[0], 1 / shown[2], 1 / shown[1])
    else:
        unit = _UNITS[reach.unit]
        shown = (median(values) / unit, min(values) / unit, max(values) / unit)
    return Goal(entry["work"], entry["compared"], shown, reach, entry.get("note", ""))


def _results(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the measurements of a file of `speed.py`, or both sides of one of `parity.py --speed`."""
    if "speed" not in report:
        found: list[dict[str, Any]] = report["results"]
        return found
    sides = {way: report["speed"][way] for way in ("released", "ours")}
    return [{"task": "step", "way": way, "cpu": one["cpu_seconds"], **one} for way, one in sides.items()]


def _figures(where: str, entry: dict[str, Any], results: Sequence[dict[str, Any]], side: str) -> list[float]:
    """Return the figure of an entry in each run of one way."""
    wanted = entry[side]
    found = [one for one in results if (one["task"], one["way"]) == (wanted.get("task"), wanted.get("way"))]
    if not found:
        listed = "; ".join(f"{one['task']}: {one['way']}" for one in results)
        raise DataError(f"{where}: '{entry['json']}' has no {wanted}; it has {listed}")
    (one,) = found
    figure = str(entry["figure"])
    said = one.get("said", {})
    if figure == "cpu_seconds" and one.get("cpu"):
        return [float(value) for value in one["cpu"]]
    if figure == "cpu_per_item" and one.get("cpu"):
        return [float(value) / one["items"] for value in one["cpu"]]
    if figure == "peak":
        return [float(one["peak"])]
    name = figure.removeprefix("said.")
    if figure.startswith("said.") and name in said:
        return [float(said[name])]
    raise DataError(f"{where}: '{entry['json']}' has no figure {figure} for {wanted}")


def _row(goal: Goal) -> list[str]:
    middle, least, most = (f"{value:.3g}" for value in goal.values)
    verdict = "reached" if goal.missed_by <= 1 else f"**missed** by {100 * (goal.missed_by - 1):.0f} %"
    spread = "" if least == most else f"{least} .. {most}"
    return [
        goal.work,
        goal.compared,
        str(goal.reach),
        f"{middle} {goal.reach.unit}".strip(),
        spread,
        verdict,
        goal.note,
    ]
