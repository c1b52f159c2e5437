"""The file of finished runs, one JSON line each."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from shared_parts.errors import BenchmarkError

from learning_parts.runs import Run
from vireid_plugins.config.renamed import LOGGED

SCORES = ("Rank-1", "mAP", "mINP")


def read_rows(file: Path) -> list[dict[str, Any]]:
    """Return the rows of finished runs; none if the file does not exist.

    Raises:
        BenchmarkError: a line is not a row.
    """
    if not file.is_file():
        return []
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BenchmarkError(f"'{file}' is not a file of finished runs: {error}") from None
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            key = tuple(row[name] for name in ("start", "tree", "variant", "seed", "epochs"))
            _require_numbers(row)
        except (ValueError, KeyError, TypeError) as error:
            raise BenchmarkError(f"'{file}' line {number} is not a finished run ({error}); delete the line") from None
        # Another processor rounds differently, and after some steps the same seed is another run.
        run = (*key, row.get("device", ""))
        if run in rows:
            # A run counted twice would narrow the spread over seeds.
            raise BenchmarkError(f"'{file}' line {number} repeats the run {run}; delete one of the two lines")
        losses = {LOGGED.get(name, name): values for name, values in row["losses"].items()}
        rows[run] = {**row, "key": key, "losses": losses}
    return list(rows.values())


def _require_numbers(row: dict[str, Any]) -> None:
    for name in (*SCORES, "cpu_seconds"):
        if not isinstance(row[name], (int, float)) or not math.isfinite(row[name]):
            raise ValueError(f"{name} is {row[name]!r} and should be a number")
    if type(row["seed"]) is not int:
        raise ValueError(f"seed is {row['seed']!r} and should be an integer")


def expectation(rows: Sequence[dict[str, Any]], run: Run) -> list[str]:
    """Return overrides that make a run fail outside three standard deviations of its variant's finished seeds.

    Args:
        rows: rows of `read_rows`.
        run: a run whose variant and tree have at least two finished seeds.
    """
    scores = [row["mAP"] for row in rows if row["key"][:3] == run.key()[:3] and row["epochs"] == run.epochs]
    row = [run.tree, "mAP", round(mean(scores), 2), round(3 * stdev(scores), 2)]
    return ["TEST.EXPECTED_RESULTS", str([row])]
