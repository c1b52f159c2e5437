"""Compare two sides of one or several runs: scores, curves, and whether the difference is more than chance."""

import glob
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import NamedTuple

import numpy as np

from vireid_plugins.errors import ConfigError, DataError
from vireid_plugins.evaluation.query_scores import QueryScores, queries_file, read_query_scores
from vireid_plugins.experiments.collect import Row, Value, setting_of
from vireid_plugins.experiments.plan import SEED
from vireid_plugins.experiments.runs import RunRead, find_runs, read_run
from vireid_plugins.experiments.statistics import Floats, Interval, PairedTest, bootstrap, paired_test


class Side(NamedTuple):
    """One side of a comparison: its name, and its runs, which differ in their seeds alone."""

    name: str
    runs: Sequence[RunRead]


class Compared(NamedTuple):
    """The result under one protocol: a paired test of one run a side, or an interval of several."""

    protocol: str
    queries: int
    result: Interval | PairedTest


class Comparison(NamedTuple):
    """Rows of a table of scores, and the results by protocol."""

    rows: list[Row]
    compared: list[Compared]


def read_side(letter: str, words: Sequence[str]) -> Side:
    """Return the runs that the words of one side name.

    Args:
        letter: A or B.
        words: folders of runs, folders that hold runs, or patterns such as `logs/agw_seed-*`.

    Raises:
        ConfigError: nothing is there, or the runs are not repetitions of one setting with different seeds.
        DataError: a run cannot be read.
    """
    folders: dict[Path, Path] = {}
    for word in words:
        found = [Path(word)] if Path(word).exists() else [Path(name) for name in sorted(glob.glob(word))]  # noqa: PTH207  any pattern
        if not found:
            raise ConfigError(f"side {letter}: '{word}' is no folder, and no folder matches it")
        for folder in found:
            folders |= {place.resolve(): place for place in find_runs(folder)}
    runs = [read_run(folder) for folder in folders.values()]
    _require_repetitions(letter, runs)
    return Side(f"{letter}: {runs[0].method} ({Path(words[0]).name or words[0]})", runs)


def _require_repetitions(letter: str, runs: Sequence[RunRead]) -> None:
    """Refuse runs of one side that differ in more than their seeds, or not even in those."""
    first = runs[0]
    seeds: dict[object, RunRead] = {}
    for run in runs:
        if setting_of(run) != setting_of(first):
            keys = sorted({key for key, _ in set(setting_of(run)) ^ set(setting_of(first))})
            raise ConfigError(
                f"side {letter}: '{run.folder}' and '{first.folder}' are of different settings "
                f"({', '.join(keys[:4])}); the runs of a side differ in their seeds alone"
            )
        seed = run.config.get(SEED)
        if seed in seeds:
            raise ConfigError(
                f"side {letter}: '{run.folder}' and '{seeds[seed].folder}' have the same seed {seed}; repeated runs "
                "tell nothing about chance"
            )
        seeds[seed] = run


def compare(a: Side, b: Side) -> Comparison:
    """Compare two sides under every protocol that all their runs were scored under.

    Raises:
        ConfigError: a run is on both sides, or one side has a single run and the other several.
        DataError: the runs were scored under other protocols or with other queries, or a file cannot be read.
    """
    runs = [*a.runs, *b.runs]
    both = {run.folder.resolve() for run in a.runs} & {run.folder.resolve() for run in b.runs}
    if both and len(runs) > 2:
        raise ConfigError(f"'{sorted(both)[0]}' is on both sides")
    if (len(a.runs) == 1) != (len(b.runs) == 1):
        raise ConfigError(
            f"{len(a.runs)} and {len(b.runs)} runs cannot be compared: give one a side, or at least two seeds a side"
        )
    protocols = [name for name in runs[0].scores if all(name in run.scores for run in runs)]
    if not protocols:
        listed = "; ".join(f"{side.name}: {', '.join(side.runs[0].scores)}" for side in (a, b))
        raise DataError(f"the runs have no protocol in common ({listed}); score them alike with TEST.PROTOCOLS")
    rows = [row for name in protocols for row in _rows(name, a, b)]
    return Comparison(rows, [_compared(name, a, b) for name in protocols])


def _compared(protocol: str, a: Side, b: Side) -> Compared:
    tables = [[_queries(run, protocol) for run in side.runs] for side in (a, b)]
    first = (a.runs[0], tables[0][0])
    for side, side_tables in zip((a, b), tables, strict=True):
        for run, table in zip(side.runs, side_tables, strict=True):
            _require_same_queries(protocol, first, (run, table))
    # A query that no gallery has a match for is in no score.
    kept = ~np.isnan(first[1].ap).all(0)
    ids = first[1].ids[kept]
    left, right = ([_ap(table)[kept] for table in side_tables] for side_tables in tables)
    weights = _weights(first[1])[kept]
    if len(left) == 1:
        return Compared(protocol, int(kept.sum()), paired_test(left[0], right[0], ids, weights=weights))
    return Compared(protocol, int(kept.sum()), bootstrap(left, right, ids, weights=weights))


def _shares(table: QueryScores) -> Floats:
    """Return what part of mAP, a mean over trials, the AP of each query in each trial (T, Q) is."""
    found = ~np.isnan(table.ap)
    shares: Floats = found / np.maximum(found.sum(1, keepdims=True), 1)
    return shares


def _weights(table: QueryScores) -> Floats:
    """Return what part of mAP each query (Q,) is; they differ where trials draw their queries."""
    weights: Floats = _shares(table).sum(0)
    return weights


def _ap(table: QueryScores) -> Floats:
    """Return the AP of each query (Q,), whose mean by the weights is mAP; NaN without a match in any trial."""
    with np.errstate(invalid="ignore"):
        ap: Floats = (np.nan_to_num(table.ap.astype(np.float64)) * _shares(table)).sum(0) / _weights(table)
    return ap


def _queries(run: RunRead, protocol: str) -> QueryScores:
    """Return the AP of the queries of a run under a protocol."""
    file = queries_file(run.scores[protocol].file)
    found = read_query_scores(file)
    # Tables name post-processing too, the file the protocol alone.
    name = protocol.partition(" ")[0]
    if name not in found:
        raise DataError(f"'{file}' has no queries of {name}; it has {', '.join(found)}: score the run again")
    return found[name]


def _require_same_queries(
    protocol: str, first: tuple[RunRead, QueryScores], other: tuple[RunRead, QueryScores]
) -> None:
    """Raise a `DataError` unless two runs answered the same queries with the same chance of a match."""
    (run, table), (its_run, its_table) = first, other
    splits = [one.scores[protocol].split for one in (run, its_run)]
    if splits[0] != splits[1]:
        raise DataError(
            f"{protocol}: '{run.folder}' was scored on split {splits[0]}, '{its_run.folder}' on split {splits[1]}; "
            "their queries are different: compare runs of one split, or average the splits with vireid collect"
        )
    same = np.array_equal(table.paths, its_table.paths) and np.array_equal(table.ids, its_table.ids)
    if not same or not np.array_equal(np.isnan(table.ap), np.isnan(its_table.ap)):
        raise DataError(
            f"{protocol}: '{run.folder}' and '{its_run.folder}' were scored with different queries or galleries "
            f"({len(table.paths)} and {len(its_table.paths)} queries); score them on the same data"
        )


def _rows(protocol: str, a: Side, b: Side) -> list[Row]:
    """Return the scores of both sides, and their difference."""
    names = [name for name in a.runs[0].scores[protocol].mean if name in b.runs[0].scores[protocol].mean]
    values: list[Mapping[str, Value]] = []
    for side in (a, b):
        of_runs = {name: [run.scores[protocol].mean[name] for run in side.runs] for name in names}
        values.append({name: Value(mean(v), stdev(v) if len(v) > 1 else None) for name, v in of_runs.items()})
    gap = {name: Value(values[1][name].mean - values[0][name].mean, None) for name in names}
    sides = zip((a, b), values, strict=True)
    return [*(Row(side.name, protocol, len(side.runs), 0, of) for side, of in sides), Row("B - A", protocol, 0, 0, gap)]


def sentences(comparison: Comparison) -> list[str]:
    """Return what the comparison says, a line per protocol and what the lines mean."""
    lines = [_sentence(compared) for compared in comparison.compared]
    single = isinstance(comparison.compared[0].result, PairedTest)
    if single:
        lines.append(
            "One run a side: this speaks of these two files of weights alone, and says nothing about the methods, "
            "since another seed may change as much. Train several seeds a side (vireid sweep) and compare those."
        )
    elif len(lines) > 1:
        lines.append(
            "Each protocol is tested by itself; among 20 without any difference, one would be told on average."
        )
    return lines


def _sentence(compared: Compared) -> str:
    result, of = compared.result, f"{compared.protocol}, {compared.queries} queries"
    if result.equal:
        return f"{of}: the runs are equal in the AP of every query."
    if isinstance(result, PairedTest):
        return (
            f"{of}: B's mAP is {_points(result.difference)}, its AP higher for {result.better} and lower for "
            f"{result.worse} queries; paired permutation test over identities, {_shown(result.p)}."
        )
    interval = f"95 % interval {result.low:+.2f} to {result.high:+.2f}"
    told = "more than seeds and queries explain" if result.differs else "no difference can be told"
    return f"{of}: B's mAP is {_points(result.difference)}, {interval}: {told}."


def _points(difference: float) -> str:
    return f"{abs(difference):.2f} points {'higher' if difference >= 0 else 'lower'}"


def _shown(p: float) -> str:
    return f"p = {p:.3f}" if p >= 0.001 else "p < 0.001"
