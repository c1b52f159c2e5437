"""The tables of published results, from docs/results.yml."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from shared_parts.markdown import table

from vireid_plugins.errors import DataError
from vireid_plugins.io.regular import read_text
from vireid_plugins.io.strict_yaml import parse_yaml

# Header of a column, and the protocols in it with any way of drawing trials.
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
OWN = ("AGW", "CAJ", "MPANet", "DEEN", "PMT", "SAAI", "RLE", "WRIM-Net", "IDKL", "MSCMNet", "ICRE", "ADCA", "PGM")

Results = Mapping[str, Any]


def read_results(docs: Path) -> Results:
    """Read results.yml of the docs folder.

    Raises:
        DataError: the file is missing or lacks a part.
    """
    file = docs / "results.yml"
    try:
        results = parse_yaml(read_text(file)).value
    except (OSError, ValueError) as error:
        raise DataError(f"'{file}' cannot be read: {error}") from None
    missing = {"published", "ours"} - set(results or {})
    if missing:
        raise DataError(f"'{file}' lacks {', '.join(sorted(missing))}")
    found: Results = results
    return found


def published(results: Results, columns: Sequence[str], methods: Sequence[str] | None = None) -> str:
    """Return one row per published method, followed by a row of what this package measured, if anything.

    Args:
        results: output of `read_results`.
        columns: keys of COLUMNS.
        methods: names of the methods; all by default.
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
    return table(rows, ["method", "venue", *columns, "SYSU draw", "source"])


def remarks(results: Results) -> str:
    """Return the remarks on published numbers."""
    lines = []
    for entry in results["published"]:
        said = [f"{key}: {entry[key]}" for key in ("rerank", "extra", "note") if key in entry]
        if said:
            lines.append(f"- {entry['method']}: " + ". ".join(said) + ".")
    return "\n".join(lines)


def _score(scores: Mapping[str, Sequence[float | None]], pattern: str) -> str:
    found = [pair for name, pair in scores.items() if re.fullmatch(pattern, name)]
    return _pair(found[0]) if found else ""


def _pair(pair: Sequence[float | None]) -> str:
    return " / ".join("?" if score is None else f"{score:g}" for score in pair)
