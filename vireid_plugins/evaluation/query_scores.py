"""Average precision of every query: what a paired comparison of two runs reads.

Shapes: `Q` queries, `T` trials.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vireid_plugins.errors import DataError
from vireid_plugins.evaluation.types import Ints
from vireid_plugins.io.arrays import read_npz
from vireid_plugins.io.files import write_atomic

# The file of `evaluation.json` is called `evaluation_queries.npz`.
SUFFIX = "_queries.npz"
PARTS = ("paths", "ids", "ap")


class QueryScores(NamedTuple):
    """Average precision of the queries of one protocol.

    Attributes:
        paths: (Q,) paths of the queries, relative to the data set's folder.
        ids: (Q,) identities.
        ap: (T, Q) float32, average precision 0..1; NaN where a query has no match in that trial or is not in it.
    """

    paths: npt.NDArray[np.str_]
    ids: Ints
    ap: npt.NDArray[np.float32]


class TrialAp(NamedTuple):
    """Average precision of one trial: paths and identities of its queries and their AP, each (Q,)."""

    paths: Sequence[str]
    ids: Ints
    ap: npt.NDArray[np.floating[Any]]


def query_scores(trials: Sequence[TrialAp]) -> QueryScores:
    """Return the scores of all trials in one table; where trials draw their queries, it has those of every trial."""
    row: dict[str, int] = {}
    identities: list[int] = []
    for number, trial in enumerate(trials):
        if number and trial.paths is trials[number - 1].paths:
            continue
        for path, identity in zip(trial.paths, trial.ids, strict=True):
            if path not in row:
                row[path] = len(row)
                identities.append(int(identity))
    ap = np.full((len(trials), len(row)), np.nan, np.float32)
    at: list[int] = []
    for number, trial in enumerate(trials):
        if not number or trial.paths is not trials[number - 1].paths:
            at = [row[path] for path in trial.paths]
        ap[number, at] = trial.ap
    return QueryScores(np.array(list(row), dtype=str), np.array(identities, np.int64), ap)


def queries_file(evaluation: Path) -> Path:
    """Return the file with the AP of every query that belongs to an `evaluation.json`."""
    return evaluation.with_name(f"{evaluation.stem}{SUFFIX}")


def write_query_scores(file: Path, scores: Mapping[str, QueryScores]) -> None:
    """Write the scores of every protocol, by its name. A file that holds the same is left alone.

    Raises:
        ConfigError: the file cannot be written; an existing one is unchanged.
    """
    arrays = {"protocols": np.array(list(scores), dtype=str)}
    for number, table in enumerate(scores.values()):
        arrays |= {f"{part}_{number}": array for part, array in zip(PARTS, table, strict=True)}
    if _holds(file, arrays):
        return
    with write_atomic(file) as stream:
        np.savez(stream, allow_pickle=False, **arrays)


def read_query_scores(file: Path) -> dict[str, QueryScores]:
    """Return the scores of every protocol in a file, by its name. No code in it is run.

    Raises:
        DataError: the file is missing, damaged, or not of this kind.
    """
    try:
        protocols = _texts(read_npz(file, ("protocols",)).found["protocols"])
        names = [f"{part}_{number}" for number in range(len(protocols)) for part in PARTS]
        found = read_npz(file, names).found
        return {name: _checked(*(found[f"{part}_{number}"] for part in PARTS)) for number, name in enumerate(protocols)}
    except FileNotFoundError:
        raise DataError(
            f"'{file}' does not exist; an evaluation writes it: score the run again with this release"
        ) from None
    except OSError as error:
        raise DataError(f"'{file}' cannot be read: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError, MemoryError) as error:
        said = " ".join(str(error).split())
        raise DataError(f"'{file}' is not a file of queries and their AP: {said}; score the run again") from None


def _texts(array: npt.NDArray[Any]) -> list[str]:
    if array.ndim != 1 or array.dtype.kind != "U":
        raise ValueError(f"names must be (n,) texts; got {array.shape} of {array.dtype}")
    names = [str(name) for name in array]
    if len(set(names)) < len(names):
        raise ValueError("a name occurs twice")
    return names


def _checked(paths: npt.NDArray[Any], ids: npt.NDArray[Any], ap: npt.NDArray[Any]) -> QueryScores:
    """Return what three arrays hold.

    Raises:
        ValueError: they are not the scores of one set of queries.
    """
    count = len(_texts(paths))
    if ids.shape != (count,) or ids.dtype.kind not in "iu":
        raise ValueError(f"ids must be ({count},) whole numbers; got {ids.shape} of {ids.dtype}")
    if ap.ndim != 2 or ap.shape[1] != count or not len(ap) or ap.dtype.kind != "f":
        raise ValueError(f"ap must be (trials, {count}) fractions; got {ap.shape} of {ap.dtype}")
    if np.any((ap < 0) | (ap > 1)):
        raise ValueError("ap must lie between 0 and 1")
    return QueryScores(paths, ids.astype(np.int64), ap.astype(np.float32))


def _holds(file: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> bool:
    """Return whether a file holds exactly these arrays."""
    try:
        found, names = read_npz(file, list(arrays))
    except (OSError, ValueError, TypeError, MemoryError):
        return False
    return set(names) == set(arrays) and all(
        array.dtype == found[name].dtype and np.array_equal(array, found[name], equal_nan=array.dtype.kind == "f")
        for name, array in arrays.items()
    )
