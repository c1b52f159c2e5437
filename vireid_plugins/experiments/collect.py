"""Mean and deviation of runs with equal settings, over seeds and splits."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any, NamedTuple

from vireid_plugins.errors import DataError
from vireid_plugins.experiments.plan import SEED, SPLIT
from vireid_plugins.experiments.runs import EPOCHS, METHOD, RunRead, find_runs, read_run

# Keys that two runs of one setting may differ in: seed, split, places, and what changes only the speed.
FREE = (
    *(SEED, SPLIT, "OUTPUT_DIR", "MODEL.WEIGHTS", "MODEL.HEADS.NUM_CLASSES", "MODEL.DEVICE", "CUDNN_BENCHMARK"),
    *("DATALOADER.NUM_WORKERS", "DATALOADER.CACHE", "DATALOADER.TIMEOUT"),
    *("SOLVER.CHECKPOINT_PERIOD", "SOLVER.CHECKPOINT_KEEP", "SOLVER.METRICS_PERIOD"),
)
# Keys that the name of a setting shows at most.
SHOWN = 4


class Value(NamedTuple):
    """A score in percent.

    Attributes:
        mean: over seeds, each a mean over its splits.
        deviation: the sample deviation over seeds, or over splits if there is one seed; None: there is one value.
    """

    mean: float
    deviation: float | None


class Row(NamedTuple):
    """Scores of a setting under one protocol.

    Attributes:
        setting: its name.
        protocol: the protocol.
        seeds: number of seeds.
        splits: number of splits; 0: the data set has none.
        scores: by name.
    """

    setting: str
    protocol: str
    seeds: int
    splits: int
    scores: Mapping[str, Value]


class Collected(NamedTuple):
    """The rows of a table, ordered by protocol and setting, and remarks on runs that are left out."""

    rows: list[Row]
    remarks: list[str]


def collect(folder: Path) -> Collected:
    """Return the mean and deviation of every setting among the runs at and below a folder.

    Runs are of one setting if their configurations are equal but for seed, split, places and speed. RegDB is averaged
    as the field does: a seed counts as the mean over its splits.

    Scores of weights that had not finished all epochs are left out.

    Raises:
        DataError: there are no runs, none is finished, or a file of one cannot be read.
    """
    remarks: list[str] = []
    groups: dict[tuple[tuple[str, str], ...], list[RunRead]] = {}
    for place in find_runs(folder):
        run = read_run(place)
        if early := _early(run):
            remarks.append(early)
            continue
        groups.setdefault(setting_of(run), []).append(run)
    if not groups:
        raise DataError(f"no run in '{folder}' is finished: {'; '.join(remarks)}")
    names = setting_names(list(groups))
    rows: list[Row] = []
    for setting, runs in groups.items():
        for protocol in dict.fromkeys(name for run in runs for name in run.scores):
            row, said = row_of(names[setting], protocol, [run for run in runs if protocol in run.scores])
            rows.append(row)
            remarks += [line for line in said if line not in remarks]
    order = list(dict.fromkeys(row.protocol for row in rows))
    return Collected(sorted(rows, key=lambda row: (order.index(row.protocol), row.setting)), remarks)


def _early(run: RunRead) -> str:
    """Return a remark on a run whose scores are not of its last epoch, or an empty string."""
    for scores in run.scores.values():
        epochs = run.config.get(EPOCHS, 0)
        if scores.epoch is not None and scores.epoch < epochs:
            return f"'{run.folder}' is left out: its scores are of {scores.epoch} of {epochs} epochs"
    return ""


def setting_of(run: RunRead) -> tuple[tuple[str, str], ...]:
    """Return what runs of one setting have in common: keys and values as text."""
    return tuple(sorted((key, repr(value)) for key, value in run.config.items() if key not in FREE))


def setting_names(settings: Sequence[tuple[tuple[str, str], ...]]) -> dict[tuple[tuple[str, str], ...], str]:
    """Return a name for each setting: its method, and the keys that tell it from others of that method."""
    names: dict[tuple[tuple[str, str], ...], str] = {}
    for setting in settings:
        values = dict(setting)
        method = values.get(METHOD, "?").strip("'")
        others = [dict(other) for other in settings if dict(other).get(METHOD) == values.get(METHOD)]
        keys = [key for key in values if any(other.get(key) != values[key] for other in others)]
        shown = [f"{key.rpartition('.')[2].lower()}={values[key]}".replace("'", "") for key in keys[:SHOWN]]
        more = [f"{len(keys) - SHOWN} more"] if len(keys) > SHOWN else []
        names[setting] = f"{method} ({', '.join([*shown, *more])})" if keys else method
    return _told_apart(names)


def _told_apart(names: dict[Any, str]) -> dict[Any, str]:
    """Number names that several settings have."""
    taken = list(names.values())
    seen: dict[str, int] = {}
    apart = {}
    for setting, name in names.items():
        seen[name] = seen.get(name, 0) + 1
        apart[setting] = f"{name} #{seen[name]}" if taken.count(name) > 1 else name
    return apart


def row_of(setting: str, protocol: str, runs: Sequence[RunRead]) -> tuple[Row, list[str]]:
    """Return the row of one setting and protocol, and remarks on runs that it leaves out.

    Raises:
        DataError: the runs have no score in common.
    """
    remarks = []
    by_seed: dict[Any, dict[int | None, RunRead]] = {}
    for run in runs:
        splits = by_seed.setdefault(run.config.get(SEED), {})
        split = run.scores[protocol].split
        if split in splits:
            remarks.append(f"'{run.folder}' is left out: it has the setting and seed of '{splits[split].folder}'")
        else:
            splits[split] = run
    most = max(by_seed.values(), key=len)
    for seed in [seed for seed, splits in by_seed.items() if set(splits) != set(most)]:
        listed = sorted(split for split in by_seed.pop(seed) if split is not None)
        remarks.append(f"seed {seed} of {setting} is left out: it has the splits {listed} of {list(most)}")
    tables = [[run.scores[protocol].mean for run in splits.values()] for splits in by_seed.values()]
    names = [name for name in tables[0][0] if all(name in scores for table in tables for scores in table)]
    if not names:
        raise DataError(f"the runs of {setting} have no score in common under {protocol}")
    values = {name: _value([[scores[name] for scores in table] for table in tables]) for name in names}
    return Row(setting, protocol, len(tables), 0 if None in most else len(most), values), remarks


def _value(table: Sequence[Sequence[float]]) -> Value:
    """Return the mean and deviation of scores by seed and split."""
    of_seeds = [mean(splits) for splits in table]
    spread = of_seeds if len(of_seeds) > 1 else list(table[0])
    return Value(mean(of_seeds), stdev(spread) if len(spread) > 1 else None)
