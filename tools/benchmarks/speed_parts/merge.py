"""Rows that several runs of the speed benchmark measured, in one file."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from speed_parts.measure import Measured
from vireid_plugins.errors import DataError

# What the rows of a file may differ in; a row of another machine or library would be compared with what it cannot be.
VARYING = "commit"


def kept(file: Path, facts: dict[str, Any]) -> list[Measured]:
    """Return the rows of a file, each with its commit.

    Args:
        file: what `speed.py --json` wrote.
        facts: what the rows that are to be added depend on.

    Raises:
        DataError: the rows of the file were measured under other conditions than the commit.
    """
    report = json.loads(file.read_text(encoding="utf-8"))
    before = report["environment"]
    different = sorted(key for key in {*before, *facts} - {VARYING} if before.get(key) != facts.get(key))
    if different:
        told = ", ".join(f"{key} {before.get(key)} and now {facts.get(key)}" for key in different)
        raise DataError(f"'{file}' cannot be added to, its rows depend on something else: {told}")
    rows = [Measured.from_json(row) for row in report["results"]]
    return [replace(row, commit=row.commit or before[VARYING]) for row in rows]


def merged(before: Sequence[Measured], measured: Sequence[Measured]) -> list[Measured]:
    """Return the rows of a file, those that were measured again replaced; new ones are the last of their task."""
    now = {(row.task, row.way): row for row in measured}
    rows = [now.pop((row.task, row.way), row) for row in before]
    rows += now.values()
    order = {task: number for number, task in enumerate(dict.fromkeys(row.task for row in rows))}
    return sorted(rows, key=lambda row: order[row.task])
