"""Average results over RegDB's splits."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate

from vireid_plugins.data.datasets.regdb import RegDB
from vireid_plugins.errors import DataError
from vireid_plugins.evaluation.results import mean_and_deviation
from vireid_plugins.io.json_file import read_json


def merge_splits(files: Sequence[Path]) -> dict[str, Any]:
    """Return the mean and standard deviation over splits for every protocol in result files.

    Args:
        files: written by `vireid score --json`, or as `evaluation.json` by a training; one or more per split.

    Raises:
        DataError: a file is missing or contains no results, a split occurs twice, or the splits were not scored under
            the same protocols.
    """
    by_protocol: dict[tuple[str, str, str], dict[int, tuple[Path, dict[str, float]]]] = {}
    for file in files:
        for result in _results(file):
            key, split = (result["protocol"], result["refinement"], result.get("metric", "cosine")), result["split"]
            if split is None:
                raise DataError(f"'{file}': {result['protocol']} has no splits to average over")
            if split not in RegDB.splits:
                raise DataError(
                    f"'{file}': {key[0]} has split {split!r}; RegDB has the splits {RegDB.splits[0]} to "
                    f"{RegDB.splits[-1]}"
                )
            others = by_protocol.setdefault(key, {})
            if split in others:
                raise DataError(f"'{file}' and '{others[split][0]}' both contain {key[0]} for split {split}")
            for other, means in others.values():
                if means.keys() != result["mean"].keys():
                    raise DataError(
                        f"'{file}' has {', '.join(result['mean'])} for {key[0]}, but '{other}' has {', '.join(means)}"
                    )
            others[split] = (file, result["mean"])
    if len({frozenset(splits) for splits in by_protocol.values()}) > 1:
        listed = "; ".join(
            f"{_named(name, metric)}: {sorted(splits)}" for (name, _, metric), splits in by_protocol.items()
        )
        raise DataError(f"the protocols were not scored on the same splits: {listed}")
    merged = []
    for (protocol, refinement, metric), splits in by_protocol.items():
        scores = [means for _, means in splits.values()]
        merged.append(
            {
                "protocol": protocol,
                "refinement": refinement,
                "metric": metric,
                "splits": sorted(splits),
                "mean": {name: float(np.mean([score[name] for score in scores])) for name in scores[0]},
                "std": {name: float(np.std([score[name] for score in scores])) for name in scores[0]},
            }
        )
    return {"merged": merged, "complete": all(result["splits"] == list(RegDB.splits) for result in merged)}


def _named(protocol: str, metric: str) -> str:
    return protocol if metric == "cosine" else f"{protocol} by {metric}"


def merged_table(merged: dict[str, Any]) -> str:
    """Return a table with one row per protocol, including the number of splits averaged."""
    results = merged["merged"]
    # An open set has more scores than a closed one.
    names = list(dict.fromkeys(name for result in results for name in result["mean"]))
    rows = [
        [
            " + ".join(filter(None, (_named(result["protocol"], result["metric"]), result["refinement"]))),
            *(
                mean_and_deviation(mean, result["std"][name], len(result["splits"]))
                if (mean := result["mean"].get(name)) is not None
                else ""
                for name in names
            ),
            f"{len(result['splits'])} of {len(RegDB.splits)}",
        ]
        for result in results
    ]
    headers = ["protocol", *names, "splits"]
    return tabulate(rows, headers=headers, tablefmt="pipe", disable_numparse=True)


def _results(file: Path) -> list[dict[str, Any]]:
    try:
        results: list[dict[str, Any]] = read_json(file)["results"]
        for result in results:
            _require_result(result)
    except OSError as error:
        raise DataError(f"'{file}' cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        results = []
    if not results:
        raise DataError(
            f"'{file}' contains no results; it must be written by vireid score --json or be an evaluation.json"
        )
    return results


def _require_result(result: Any) -> None:
    """Raise a `ValueError`, or what Python raises, unless a result is one that `ProtocolResult.as_json` wrote."""
    names = (result["protocol"], result["refinement"], result.get("metric", "cosine"))
    means, split = result["mean"], result["split"]
    percentages = [type(value) in (int, float) and 0 <= value <= 100.001 for value in means.values()]
    if not all(isinstance(name, str) for name in names) or not percentages or not all(percentages):
        raise ValueError("not a result")
    if isinstance(split, bool | float):
        raise ValueError("not a split")
