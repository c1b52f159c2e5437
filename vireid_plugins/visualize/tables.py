"""The tables of README.md and the docs that are made from data: results, protocols, benchmarks."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from tabulate import tabulate

from vireid_plugins import benchmark
from vireid_plugins.benchmark import learning
from vireid_plugins.benchmark.subjects import NAMES
from vireid_plugins.config.reference import keys
from vireid_plugins.engine.checkpoint import FORMAT, Entry
from vireid_plugins.errors import DataError
from vireid_plugins.evaluation import PROTOCOLS
from vireid_plugins.stock import PATCHES
from vireid_plugins.visualize import parity

# Header of a column and the protocols that stand in it, with any draw.
COLUMNS = {
    "SYSU all": r"sysu/\w+/all/1shot",
    "SYSU all multi": r"sysu/\w+/all/10shot",
    "SYSU indoor": r"sysu/\w+/indoor/1shot",
    "SYSU indoor multi": r"sysu/\w+/indoor/10shot",
    "RegDB v2i": r"regdb/v2i",
    "RegDB i2v": r"regdb/i2v",
    "LLCM v2i": r"llcm/(\w+/)?v2i",
    "LLCM i2v": r"llcm/(\w+/)?i2v",
    "LLCM v2i transposed": r"llcm/v2i_transposed",
}
SINGLE_SHOT = [name for name in COLUMNS if "multi" not in name and "transposed" not in name]
# The methods that this package has or will have.
OWN = ("AGW", "CAJ", "DEEN", "WRIM-Net", "IDKL", "MSCMNet", "ICRE")

Results = Mapping[str, Any]


def read_results(docs: Path) -> Results:
    """Read results.yml of the docs folder.

    Raises:
        DataError: the file is missing or lacks a part.
    """
    file = docs / "results.yml"
    try:
        results = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise DataError(f"'{file}' cannot be read: {error}") from None
    missing = {"published", "ours"} - set(results or {})
    if missing:
        raise DataError(f"'{file}' lacks {', '.join(sorted(missing))}")
    found: Results = results
    return found


def published(results: Results, columns: Sequence[str], methods: Sequence[str] | None = None) -> str:
    """Return one row a published method, and one below it for what this package measured, if anything.

    Args:
        results: of `read_results`.
        columns: keys of COLUMNS.
        methods: which; all by default.
    """
    rows = []
    for entry in results["published"]:
        if methods is not None and entry["method"] not in methods:
            continue
        draws = {name.split("/")[1] for name in entry["published"] if name.startswith("sysu")}
        scores = [_score(entry["published"], COLUMNS[column]) for column in columns]
        rows.append([entry["method"], entry["venue"], *scores, ", ".join(sorted(draws)), entry["source"]])
        for own in results["ours"]:
            if own["method"] == entry["method"]:
                scores = [_score(own["measured"], COLUMNS[column]) for column in columns]
                rows.append([f"{entry['method']} (ours)", own["config"], *scores, own["draw"], own["how"]])
    return _table(rows, ["method", "venue", *columns, "SYSU draw", "source"])


def remarks(results: Results) -> str:
    """Return what is said about some of the published numbers."""
    lines = []
    for entry in results["published"]:
        said = [f"{key}: {entry[key]}" for key in ("rerank", "extra", "note") if key in entry]
        if said:
            lines.append(f"- {entry['method']}: " + ". ".join(said) + ".")
    return "\n".join(lines)


def protocols() -> str:
    """Return one row a protocol."""
    rows = [
        [
            f"`{p.name}`",
            " to ".join({"i": "infrared", "v": "visible"}[side] for side in p.direction.split("2")),
            f"{p.drawn}: {p.draw}" + (f", {p.shots} an identity and camera" if p.shots else ""),
            p.trials,
            p.drop,
            p.cmc,
            p.about,
        ]
        for p in PROTOCOLS.values()
    ]
    return _table(rows, ["name", "query to gallery", "drawn", "trials", "not seen", "CMC", "who prints it"])


def patches() -> str:
    """Return one row a patch of fast-reid."""
    # By module: in which order they are registered depends on what was imported first.
    found = sorted(PATCHES.values(), key=lambda one: one.replacements.__module__)
    rows = [[f"`{p.name}`", p.trouble, p.repair, p.where] for p in found]
    return _table(rows, ["name", "without it", "with it", "where in fast-reid"])


def configuration_keys() -> str:
    """Return one row a key of this package."""
    rows = [[f"`{key.name}`", f"`{key.default}`", key.about.replace("|", "\\|")] for key in keys()]
    return _table(rows, ["key", "default", "what it is"])


def benchmarked(file: Path) -> str:
    """Return the table of a file that `tools/benchmark.py --json` wrote, and what it was measured on."""
    report = json.loads(file.read_text(encoding="utf-8"))
    said = ", ".join(f"{key} {value}" for key, value in report["environment"].items())
    return f"{benchmark.table([benchmark.Measured.from_json(r) for r in report['results']])}\n\nMeasured on: {said}."


def _measured(subject: str, docs: Path) -> str:
    return benchmarked(docs / "benchmarks" / f"{subject}-cpu.json")


def _learned(what: Callable[..., str], start: str, tree: str, docs: Path) -> str:
    return what(_learning_rows(docs), start, tree)


def _learning_rows(docs: Path) -> list[dict[str, Any]]:
    return learning.read_rows(docs / "benchmarks" / "learning.jsonl")


def _parity(make: Callable[[Sequence[parity.Report]], str], docs: Path) -> str:
    return make(parity.read_reports(docs))


# Each takes the docs folder.
TABLES: dict[str, Callable[[Path], str]] = {
    "published by the methods here": lambda docs: published(read_results(docs), SINGLE_SHOT, OWN),
    "everything published": lambda docs: published(read_results(docs), list(COLUMNS)),
    "remarks": lambda docs: remarks(read_results(docs)),
    "protocols": lambda docs: protocols(),
    "patches": lambda docs: patches(),
    "configuration keys": lambda docs: configuration_keys(),
    "checkpoint entries": lambda docs: _table(FORMAT, [name.replace("_", " ") for name in Entry._fields]),
    "learning in short": lambda docs: learning.summary(_learning_rows(docs)),
    **{f"{subject} on a CPU": partial(_measured, subject) for subject in NAMES},
    **{
        f"{name} from {start} on {tree}": partial(_learned, what, start, tree)
        for name, what in (("learning", learning.table), ("activity", learning.activity_table))
        for tree, of in learning.TREES.items()
        for start in of.epochs
    },
    **{name: partial(_parity, make) for name, make in parity.TABLES.items()},
}


def with_tables(text: str, docs: Path) -> str:
    """Return a Markdown text whose tables, between `<!-- table: NAME -->` and `<!-- end -->`, are made anew.

    Args:
        text: what stands in the file now.
        docs: the docs folder.

    Raises:
        DataError: there is no table of that name.
    """

    def table(match: "re.Match[str]") -> str:
        if match[1] not in TABLES:
            raise DataError(f"there is no table '{match[1]}'; there are {', '.join(TABLES)}")
        return f"<!-- table: {match[1]} -->\n\n{TABLES[match[1]](docs)}\n\n<!-- end -->"

    return re.sub(r"<!-- table: (.+?) -->.*?<!-- end -->", table, text, flags=re.DOTALL)


def _score(scores: Mapping[str, Sequence[float | None]], pattern: str) -> str:
    found = [pair for name, pair in scores.items() if re.fullmatch(pattern, name)]
    return _pair(found[0]) if found else ""


def _pair(pair: Sequence[float | None]) -> str:
    return " / ".join("?" if score is None else f"{score:g}" for score in pair)


def _table(rows: Sequence[Sequence[object]], headers: Sequence[str]) -> str:
    return tabulate(rows, headers=headers, tablefmt="pipe", disable_numparse=True)
