"""The tables of docs/convergence.md, from the rows of finished runs."""

from collections.abc import Sequence
from statistics import mean, stdev
from typing import Any

from tabulate import tabulate

from learning_parts.rows import SCORES
from learning_parts.runs import Run
from learning_parts.starts import STARTS
from learning_parts.trees import TREES
from learning_parts.variants import METHODS

# The score whose differences are shown.
COMPARED = "mAP"


def table(rows: Sequence[dict[str, Any]], start: str, tree: str, epochs: int = 0) -> str:
    """Return one row per variant with a finished run: mean and standard deviation over its seeds.

    A sentence below lists the seeds, of three, that are not finished.
    """
    of_variant = by_variant(rows, start, tree, epochs)
    body = []
    for variant in STARTS[start].variants:
        name, found = variant.name, of_variant[variant.name]
        if not found:
            continue
        cells = [cell([row[score] for row in found]) for score in SCORES]
        against = "" if variant.against == name else difference(found, of_variant[variant.against], variant.against)
        seconds = f"{mean(row['cpu_seconds'] for row in found):.0f}"
        forced = Run(start, tree, name, 0, 0).forced()
        body.append([name, *cells, against, len(found), seconds, _keys(forced)])
    headers = ["variant", *SCORES, f"{COMPARED} against", "runs", "CPU s", "forced keys"]
    printed = tabulate(body, headers, tablefmt="github", disable_numparse=True)
    return f"{printed}\n\n{left_out(rows, start, tree, epochs)}"


def summary(rows: Sequence[dict[str, Any]], tree: str = "SYSUMM01") -> str:
    """Return one row per method: its score from every start, and the difference from the one-stream baseline."""
    starts = [start for start in TREES[tree].epochs if METHODS[0] in STARTS[start].variants]
    found = {start: by_variant(rows, start, tree) for start in starts}
    body = []
    for method in METHODS:
        cells = []
        for start in starts:
            own, other = found[start][method.name], found[start][method.against]
            cells.append(cell([row[COMPARED] for row in own]))
            cells.append("" if method.against == method.name else difference(own, other))
        body.append([method.name, *cells])
    headers = [header for start in starts for header in (f"{COMPARED}, {start}", "against one-stream")]
    return tabulate(body, ["method", *headers], tablefmt="github", disable_numparse=True)


def left_out(rows: Sequence[dict[str, Any]], start: str, tree: str, epochs: int = 0) -> str:
    """Return a sentence that lists the runs, of three seeds, that are not finished."""
    missing = []
    for name, found in by_variant(rows, start, tree, epochs).items():
        seeds = sorted({0, 1, 2} - {row["seed"] for row in found})
        if seeds:
            missing.append(f"{name} ({', '.join(map(str, seeds))})")
    if not missing:
        return f"All {3 * len(STARTS[start].variants)} runs are finished."
    return f"Left out so far, seeds in brackets: {'; '.join(missing)}."


def activity_table(rows: Sequence[dict[str, Any]], start: str, tree: str) -> str:
    """Return one row per finished variant: its modules' activity, its losses and the parameters without a gradient.

    Numbers of modules are the smallest and the largest over modules and seeds; those of losses are means over seeds.
    """
    body = []
    for name, found in by_variant(rows, start, tree).items():
        if not found:
            continue
        modules = [
            f"{what} {_range([value for row in found for value in row['modules'].get(what, [])])}"
            for what in dict.fromkeys(what for row in found for what in row["modules"])
        ]
        losses = []
        for loss in found[0]["losses"]:
            value, share = (mean(row["losses"][loss][at] for row in found) for at in (0, 1))
            losses.append(f"{loss.removeprefix('loss_')} {value:.3g} ({100 * share:.0f} %)")
        idle = sorted({name for row in found for name in row["idle"]})
        body.append([name, "; ".join(modules), "; ".join(losses), ", ".join(idle) or "none"])
    headers = ["variant", "modules", "losses (share of the gradient)", "without gradient"]
    return tabulate(body, headers, tablefmt="github", disable_numparse=True)


def by_variant(
    rows: Sequence[dict[str, Any]], start: str, tree: str, epochs: int = 0
) -> dict[str, list[dict[str, Any]]]:
    """Return the finished runs of every variant; epochs 0 is the number of the tree."""
    budget = epochs or TREES[tree].epochs[start]
    found: dict[str, list[dict[str, Any]]] = {variant.name: [] for variant in STARTS[start].variants}
    for row in rows:
        if (row["start"], row["tree"], row["epochs"]) == (start, tree, budget) and row["variant"] in found:
            found[row["variant"]].append(row)
    return found


def cell(values: Sequence[float]) -> str:
    """Return the mean and the standard deviation of the values of seeds; empty without any."""
    if not values:
        return ""
    return f"{mean(values):.1f}" + (f" ± {stdev(values):.1f}" if len(values) > 1 else "")


def difference(rows: Sequence[dict[str, Any]], others: Sequence[dict[str, Any]], name: str = "") -> str:
    """Return the difference of two variants' means, marked if it is within the sum of their standard deviations.

    A single seed has no spread; the difference is then marked as that of one seed.
    """
    own, other = ([row[COMPARED] for row in found] for found in (rows, others))
    if not own or not other:
        return ""
    difference = mean(own) - mean(other)
    text = f"{name} {difference:+.1f}".strip()
    if min(len(own), len(other)) < 2:
        return f"{text} (one seed)"
    return text + (" (noise)" if abs(difference) <= stdev(own) + stdev(other) else "")


def _keys(overrides: Sequence[str]) -> str:
    """Return overrides, keys and values in turn, in the form of a table cell."""
    pairs = zip(overrides[::2], overrides[1::2], strict=True)
    return ", ".join(f"{key.removeprefix('MODEL.').removeprefix('ATTENTION.')} {value}" for key, value in pairs)


def _range(values: Sequence[float]) -> str:
    low, high = f"{min(values):.2g}", f"{max(values):.2g}"
    return low if low == high else f"{low} to {high}"
