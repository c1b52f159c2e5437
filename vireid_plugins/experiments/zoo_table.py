"""The table of a zoo: accuracy and cost of every method, as Markdown, CSV and JSON."""

import csv
import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, median
from typing import Any, NamedTuple

from fastreid.config import CfgNode
from tabulate import tabulate

from vireid_plugins.errors import DataError, UserError, first_line
from vireid_plugins.experiments.collect import Row, row_of
from vireid_plugins.experiments.outcomes import FAILED, FINISHED, KEPT, Outcome
from vireid_plugins.experiments.runs import read_run
from vireid_plugins.experiments.tables import cell, shown
from vireid_plugins.io.files import write_bytes, write_json
from vireid_plugins.io.json_file import read_json
from vireid_plugins.visualize.plugins import network_size
from vireid_plugins.visualize.training_curves import read_metrics

# Scores of the table for people; the others are in CSV and JSON.
SCORES = ("Rank-1", "mAP", "mINP")
TABLE = "zoo"
SIZE = "size.json"


class Cost(NamedTuple):
    """What a method costs.

    Attributes:
        parameters: in millions.
        multiply_adds: of one image, in billions, as `network_size` counts them.
        extraction: milliseconds to embed an image as it is scored, with its mirror image if that is used; without
            reading it.
        epoch: seconds of a training epoch without scoring, a mean over seeds; None: it was not trained.
        device: device of both times.
    """

    parameters: float
    multiply_adds: float
    extraction: float
    epoch: float | None
    device: str


class Entry(NamedTuple):
    """A method of the table.

    Attributes:
        method: its name.
        rows: its scores by protocol; none if no run has ended.
        cost: what it costs; None: it was not measured.
        remarks: runs that failed or are left out.
        error: why cost or scores are missing.
    """

    method: str
    rows: list[Row]
    cost: Cost | None
    remarks: list[str]
    error: str = ""


def entry_of(method: str, cfg: CfgNode, outcomes: Sequence[Outcome], folder: Path, *, measure: bool = True) -> Entry:
    """Return the entry of a method, whatever became of its runs.

    Args:
        method: its name.
        cfg: its configuration.
        outcomes: how its runs ended.
        folder: where what its network costs is kept.
        measure: measure the network, if that is not kept.
    """
    remarks = [f"{outcome.run.name}: {outcome.reason}" for outcome in outcomes if outcome.state == FAILED]
    ended = [outcome.run for outcome in outcomes if outcome.state in (FINISHED, KEPT)]
    try:
        runs = [read_run(run.folder) for run in ended]
        rows = []
        for protocol in dict.fromkeys(name for run in runs for name in run.scores):
            row, said = row_of(method, protocol, [run for run in runs if protocol in run.scores])
            rows.append(row)
            remarks += [line for line in said if line not in remarks]
        seconds = [epoch_seconds(run.folder, run.epochs) for run in ended if run.weights is None]
    except UserError as error:
        return Entry(method, [], None, remarks, str(error))
    if not measure or not ended:
        return Entry(method, rows, None, remarks)
    try:
        millions, gmac, extraction = _size(cfg, folder)
    except Exception as error:  # whatever a method raises, the others have their rows
        return Entry(method, rows, None, remarks, first_line(error))
    cost = Cost(millions, gmac, extraction, mean(seconds) if seconds else None, cfg.MODEL.DEVICE)
    return Entry(method, rows, cost, remarks)


def epoch_seconds(folder: Path, epochs: int) -> float:
    """Return the seconds of an epoch: the median of the logged seconds of a step, times the steps.

    Raises:
        DataError: the run has no metrics.
    """
    curves = read_metrics(folder / "metrics.json")
    if not curves.get("time"):
        raise DataError(f"'{folder / 'metrics.json'}' has no times of steps")
    steps = max(step for points in curves.values() for step, _ in points) + 1
    return median(value for _, value in curves["time"]) * steps / epochs


def _size(cfg: CfgNode, folder: Path) -> tuple[float, float, float]:
    """Return parameters in millions, multiply-adds in billions, milliseconds an image; measured once."""
    digest = hashlib.sha256(cfg.dump().encode()).hexdigest()
    file = folder / SIZE
    try:
        kept = read_json(file)
        if kept["config"] == digest:
            return kept["parameters"], kept["multiply_adds"], kept["extraction"]
    except (OSError, ValueError, KeyError, TypeError):
        pass
    size = network_size(cfg)
    extraction = (2 if cfg.TEST.FLIP.ENABLED else 1) * 1000 / size.images_per_second
    write_json(
        file,
        {"config": digest, "parameters": size.millions, "multiply_adds": size.gmac, "extraction": extraction},
    )
    return size.millions, size.gmac, extraction


def write_tables(folder: Path, entries: Sequence[Entry]) -> None:
    """Write `zoo.md`, `zoo.csv` and `zoo.json`."""
    write_bytes(folder / f"{TABLE}.md", f"{markdown(entries)}\n".encode())
    write_bytes(folder / f"{TABLE}.csv", csv_table(entries).encode())
    write_json(folder / f"{TABLE}.json", {"methods": [_record(entry) for entry in entries]})


def markdown(entries: Sequence[Entry]) -> str:
    """Return a table in Markdown: a row for each protocol and method, and for each method without scores."""
    problems = [(entry.method, line) for entry in entries for line in _problems(entry)]
    headers = ["method", "protocol", "seeds", *SCORES, "parameters (M)", "multiply-adds (G)", "ms per image"]
    headers += ["s per epoch"]
    cells = [
        [
            cell(row.setting),
            cell(row.protocol),
            str(row.seeds),
            *(shown(row.scores.get(name)) for name in SCORES),
            *_costs(entry.cost),
        ]
        for entry, row in _by_protocol(entries)
    ]
    cells += [[cell(entry.method), "no scores"] for entry in entries if not entry.rows]
    table = tabulate(cells, headers=headers, tablefmt="pipe", disable_numparse=True)
    return "\n".join(
        [table, *([""] if problems else []), *(f"- {cell(name)}: {cell(line)}" for name, line in problems)]
    )


def csv_table(entries: Sequence[Entry]) -> str:
    """Return CSV with every score, mean and deviation in columns of their own."""
    names = list(dict.fromkeys(name for entry in entries for row in entry.rows for name in row.scores))
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    scores = [column for name in names for column in (name, f"{name} deviation")]
    writer.writerow(["method", "protocol", "seeds", "splits", *scores, *Cost._fields, "error"])
    for entry, row in [*_by_protocol(entries), *((one, None) for one in entries if not one.rows)]:
        values = [row.scores.get(name) if row else None for name in names]
        numbers = [part for value in values for part in (value or (None, None))]
        about = [row.protocol, row.seeds, row.splits or None] if row else [None] * 3
        cost = entry.cost or [None] * len(Cost._fields)
        writer.writerow([entry.method, *about, *numbers, *cost, "; ".join(_problems(entry))])
    return stream.getvalue()


def _by_protocol(entries: Sequence[Entry]) -> list[tuple[Entry, Row]]:
    """Return every row, ordered by protocol, whatever the distance and post-processing, then as the methods are."""
    rows = [(entry, row) for entry in entries for row in entry.rows]
    order = list(dict.fromkeys(row.protocol.partition(" ")[0] for _, row in rows))
    return sorted(rows, key=lambda pair: order.index(pair[1].protocol.partition(" ")[0]))


def _problems(entry: Entry) -> list[str]:
    return [*entry.remarks, *([entry.error] if entry.error else [])]


def _costs(cost: Cost | None) -> list[str]:
    if cost is None:
        return [""] * 4
    epoch = "" if cost.epoch is None else f"{cost.epoch:.3g}"
    return [f"{cost.parameters:.2f}", f"{cost.multiply_adds:.3g}", f"{cost.extraction:.3g}", epoch]


def _record(entry: Entry) -> dict[str, Any]:
    """Return an entry for JSON."""
    scores = [
        {
            "protocol": row.protocol,
            "seeds": row.seeds,
            "splits": row.splits,
            "scores": {name: value._asdict() for name, value in row.scores.items()},
        }
        for row in entry.rows
    ]
    cost = entry.cost._asdict() if entry.cost else None
    return {"method": entry.method, "results": scores, "cost": cost, "problems": _problems(entry)}
