"""Insert the tables into the pages."""

import json
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from _subjects import NAMES
from learning_parts import tables as learning
from learning_parts.affinity_table import affinity_table
from learning_parts.label_table import cluster_table, epoch_table, label_table
from learning_parts.rows import read_rows
from learning_parts.starts import LABELS
from learning_parts.trees import TREES
from speed_parts.measure import Measured
from speed_parts.table import table

from table_parts import package, parity
from table_parts.goals import goals
from table_parts.growth import growth
from table_parts.results import COLUMNS, OWN, SINGLE_SHOT, published, read_results, remarks
from vireid_plugins.errors import DataError


def benchmarked(file: Path) -> str:
    """Return the table of a file that `tools/benchmarks/speed.py --json` wrote, and what it was measured on."""
    report = json.loads(file.read_text(encoding="utf-8"))
    rows = [Measured.from_json(row) for row in report["results"]]
    # Rows of several commits say theirs.
    facts = [(key, value) for key, value in report["environment"].items() if key != "commit" or not rows[0].commit]
    return f"{table(rows)}\n\nMeasured on: {', '.join(f'{key} {value}' for key, value in facts)}."


def _measured(subject: str, docs: Path) -> str:
    return benchmarked(docs / "benchmarks" / f"{subject}-cpu.json")


def _learned(what: Callable[..., str], start: str, tree: str, docs: Path) -> str:
    return what(_learning_rows(docs), start, tree)


def _learning_rows(docs: Path) -> list[dict[str, Any]]:
    return read_rows(docs / "benchmarks" / "learning.jsonl")


def _parity(make: Callable[[Sequence[parity.Report]], str], docs: Path) -> str:
    return make(parity.read_reports(docs))


# Each takes the docs folder.
TABLES: dict[str, Callable[[Path], str]] = {
    "published by the methods here": lambda docs: published(read_results(docs), SINGLE_SHOT, OWN),
    "everything published": lambda docs: published(read_results(docs), list(COLUMNS)),
    "remarks": lambda docs: remarks(read_results(docs)),
    "protocols": lambda docs: package.protocols(),
    "checkpoint entries": lambda docs: package.checkpoint_entries(),
    "bound keys": lambda docs: package.bound_keys(),
    "patches": lambda docs: package.patches(),
    "configuration keys": lambda docs: package.configuration_keys(),
    "goals": lambda docs: goals(docs),
    "growth": lambda docs: growth(docs),
    "learning with and without labels": lambda docs: label_table(_learning_rows(docs)),
    "clusters of the last epoch": lambda docs: cluster_table(_learning_rows(docs)),
    "clusters by epoch": lambda docs: epoch_table(_learning_rows(docs)),
    "gain of affinity inference": lambda docs: affinity_table(_learning_rows(docs)),
    "gain of affinity inference, two streams": lambda docs: affinity_table(_learning_rows(docs), LABELS),
    "learning in short": lambda docs: learning.summary(_learning_rows(docs)),
    **{f"{subject} on a CPU": partial(_measured, subject) for subject in NAMES},
    **{
        f"{name} from {start} on {tree}": partial(_learned, what, start, tree)
        for name, what in (("learning", learning.table), ("activity", learning.activity_table))
        for tree, of in TREES.items()
        for start in of.epochs
    },
    **{name: partial(_parity, make) for name, make in parity.TABLES.items()},
}


def with_tables(text: str, docs: Path) -> str:
    """Return a Markdown text with current tables between `<!-- table: NAME -->` and `<!-- end -->`.

    Args:
        text: the current text of the page.
        docs: the docs folder.

    Raises:
        DataError: the name of a table is unknown.
    """

    def made(match: "re.Match[str]") -> str:
        if match[1] not in TABLES:
            raise DataError(f"unknown table '{match[1]}'; available: {', '.join(TABLES)}")
        return f"<!-- table: {match[1]} -->\n\n{TABLES[match[1]](docs)}\n\n<!-- end -->"

    return re.sub(r"<!-- table: (.+?) -->.*?<!-- end -->", made, text, flags=re.DOTALL)
