"""How cost grows with the work, from the file of the benchmark `scaling`: a table with exponents, and its figure."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from shared_parts import markdown
from speed_parts.measure import Measured

from vireid_plugins.errors import DataError

FILE = "scaling-cpu.json"


class Growth(NamedTuple):
    """Work and CPU seconds of a task at several sizes, each ascending."""

    task: str
    ways: list[str]
    items: list[int]
    seconds: list[float]

    @property
    def exponent(self) -> float:
        """Slope of the logarithm of the seconds over that of the work: 1 is as fast as the work grows."""
        return float(np.polyfit(np.log(self.items), np.log(self.seconds), 1)[0])


def read_growth(docs: Path) -> list[Growth]:
    """Return the growth of every task in docs/benchmarks.

    Raises:
        DataError: a task was measured at less than two sizes.
    """
    report = json.loads((docs / "benchmarks" / FILE).read_text(encoding="utf-8"))
    tasks: dict[str, list[Measured]] = {}
    for one in map(Measured.from_json, report["results"]):
        tasks.setdefault(one.task, []).append(one)
    found = []
    for task, measured in tasks.items():
        measured.sort(key=lambda one: one.items)
        if len({one.items for one in measured}) < 2:
            raise DataError(f"'{FILE}': '{task}' was measured at one size; growth needs two")
        seconds = [float(np.median(one.cpu)) for one in measured]
        found.append(Growth(task, [one.way for one in measured], [one.items for one in measured], seconds))
    return found


def growth(docs: Path) -> str:
    """Return one row per task: CPU seconds at each size, and the exponent."""
    return growth_table(read_growth(docs))


def growth_table(found: Sequence[Growth]) -> str:
    """Return the table of some tasks, which were measured at the same multiples of their work."""
    sizes = found[0].ways
    rows = [
        [
            one.task,
            f"{one.items[0]:,}",
            *(f"{seconds:.3g}" for seconds in one.seconds),
            f"{one.exponent:.2f}",
        ]
        for one in found
    ]
    return markdown.table(rows, ["work", "1 x is", *(f"CPU s at {size}" for size in sizes), "exponent"])
