"""The tables of docs/parity.md, from the files written by `tools/benchmarks/parity.py --json`."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from shared_parts.markdown import table

from vireid_plugins.errors import DataError

Report = Mapping[str, Any]
TITLES = {"agw": "AGW", "caj": "CAJ", "deen": "DEEN", "idkl": "IDKL", "mscm": "MSCMNet"}
SETS = {"sysu": "SYSU-MM01", "regdb": "RegDB", "llcm": "LLCM"}
SCORES = ("rank-1", "rank-10", "mAP", "mINP")


def read_reports(docs: Path) -> list[Report]:
    """Read the reports in the docs folder, at most one per method.

    Raises:
        DataError: a file is not a report.
    """
    reports: list[Report] = []
    for method in TITLES:
        file = docs / "benchmarks" / f"parity-{method}.json"
        if not file.is_file():
            continue
        try:
            report = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise DataError(f"'{file}' cannot be read: {error}") from None
        if not isinstance(report, dict) or report.get("method") != method:
            raise DataError(f"'{file}' is not a report of tools/benchmarks/parity.py {method}")
        reports.append(report)
    return reports


def repositories(reports: Sequence[Report]) -> str:
    """Return which commit of which repository was run."""
    rows = []
    for report in reports:
        folder = f"/tree/{report['commit']}/{report['folder']}" if report["folder"] else f"/tree/{report['commit']}"
        link = f"[{report['repository']}](https://github.com/{report['repository']}{folder})"
        rows.append([TITLES[report["method"]], link, f"`{report['folder'] or '.'}`", f"`{report['commit']}`"])
    return table(rows, ["method", "repository", "folder", "commit"])


def steps(reports: Sequence[Report]) -> str:
    """Return one row per data set on which steps were taken."""
    rows = []
    for report in reports:
        for run in report.get("steps", []):
            first = run["first_difference"]
            rows.append(
                [
                    TITLES[report["method"]],
                    SETS[run["dataset"]],
                    f"{run['P']} x {run['K']}, {run['size'][0]} x {run['size'][1]}",
                    run["steps"],
                    *(
                        f"{_largest(run['rows'], kind):.0e}"
                        for kind in ("loss", "rate", "feature", "weight", "gradient")
                    ),
                    " / ".join(_epoch(run["rows"])),
                    f"{run['tolerance']:.0e}",
                    "none" if first is None else f"step {first['step']}, {first['name']}: {first['difference']:.1e}",
                ]
            )
    headers = [
        "method", "data set", "P x K, size", "steps", "losses", "learning rates", "features", "weights",
        "gradients from the same weights", "steps of an epoch, released / ours", "tolerance",
        "first difference above it",
    ]  # fmt: skip
    return f"{table(rows, headers)}\n\n{_measured_on(run for report in reports for run in report.get('steps', []))}"


def _largest(rows: Iterable[Mapping[str, Any]], kind: str) -> float:
    return max((row["difference"] for row in rows if _kind(row["name"]) == kind), default=0.0)


def _epoch(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    return next(([f"{row['released']:g}", f"{row['ours']:g}"] for row in rows if _kind(row["name"]) == "epoch"), [])


def _kind(name: str) -> str:
    """Return the kind of a row, as named in `parity_parts.columns.compare`."""
    starts = {
        "steps of an epoch": "epoch",
        "learning rate": "rate",
        "norm of the pooled": "feature",
        "norm,": "weight",
        "change since": "weight",
        "gradient": "gradient",
    }
    return next((kind for start, kind in starts.items() if name.startswith(start)), "loss")


def speed(reports: Sequence[Report]) -> str:
    """Return one row per method whose steps were timed."""
    timed = [report for report in reports if "speed" in report]
    rows = []
    for report in timed:
        run = report["speed"]
        there, here = run["released"], run["ours"]
        rows.append(
            [
                TITLES[report["method"]],
                f"{run['P']} of {run['recipe P']}, {run['K']}, {run['size'][0]} x {run['size'][1]}",
                run["images"],
                *(_seconds(side["cpu_seconds"], side["median_cpu_seconds"]) for side in (there, here)),
                _ratio(here["median_cpu_seconds"], there["median_cpu_seconds"]),
                *(f"{side['peak'] / 2**30:.2f}" for side in (there, here)),
                _ratio(here["peak"], there["peak"]),
                f"{there['operations'] / 1e12:.3f}",
                _ratio(here["operations"], there["operations"]),
            ]
        )
    headers = [
        "method", "P, K, size", "images", "released, CPU s", "ours, CPU s", "ours / released", "released, peak GiB",
        "ours, peak GiB", "ours / released", "released, 10^12 operations", "ours / released",
    ]  # fmt: skip
    return f"{table(rows, headers)}\n\n{_measured_on(report['speed'] for report in timed)}"


def _seconds(values: Sequence[float], median: float) -> str:
    return f"{median:.1f} ({min(values):.1f} to {max(values):.1f})"


def _ratio(here: float, there: float) -> str:
    return f"{here / there:.2f}" if there else ""


def evaluation(reports: Sequence[Report]) -> str:
    """Return one row per case that both sides scored, in percent."""
    rows = []
    for report in reports:
        for case in report.get("evaluation", {}).get("cases", []):
            there, here = case["released"], case["ours"]
            shown = [f"{there[name]:.2f} / {here[name]:.2f}" if name in there else "" for name in SCORES]
            largest = max(abs(there[name] - here[name]) for name in here if name in there)
            protocol, _, remark = case["case"].partition(", ")
            rows.append([TITLES[report["method"]], f"`{protocol}`", remark, *shown, f"{largest:.0e}"])
    return table(
        rows, ["method", "protocol", "", *(f"{name}, released / ours" for name in SCORES), "largest difference"]
    )


def supplied(reports: Sequence[Report]) -> str:
    """Return one row per method: what its public code needed in order to run."""
    rows = []
    for report in reports:
        lines: dict[str, None] = {}
        for run in [*report.get("steps", []), report.get("evaluation", {})]:
            lines.update(dict.fromkeys(run.get("supplied", [])))
        rows.append([TITLES[report["method"]], "; ".join(_escaped(line) for line in lines) + "."])
    return table(rows, ["method", "supplied"])


def _escaped(line: str) -> str:
    return line.replace("|", "\\|").replace("_", "\\_").replace("*", "\\*")


def _measured_on(runs: Iterable[Mapping[str, Any]]) -> str:
    """Return the environments of the runs: each machine, version and commit once."""
    lines = dict.fromkeys(
        ", ".join(f"{key} {value}" for key, value in run["environment"].items()) for run in runs if "environment" in run
    )
    return "\n".join(f"Measured on: {line}." for line in lines)


# By their names in the page.
TABLES: dict[str, Callable[[Sequence[Report]], str]] = {
    "parity repositories": repositories,
    "parity steps": steps,
    "parity speed": speed,
    "parity evaluation": evaluation,
    "parity supplied": supplied,
}
