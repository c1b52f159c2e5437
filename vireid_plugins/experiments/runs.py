"""Find runs in a folder, and read their configurations and scores."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from vireid_plugins.config.node import flat_config
from vireid_plugins.engine.output_folder import CONFIG
from vireid_plugins.engine.run_files import FINAL
from vireid_plugins.engine.runs import EVALUATED
from vireid_plugins.errors import ConfigError, DataError
from vireid_plugins.experiments.plan import SEED
from vireid_plugins.io.json_file import read_json
from vireid_plugins.io.regular import read_text
from vireid_plugins.io.walk import folders_below

EVALUATION = "evaluation*.json"
METHOD, EPOCHS = "MODEL.META_ARCHITECTURE", "SOLVER.MAX_EPOCH"


class Scores(NamedTuple):
    """Scores of a run under one protocol.

    Attributes:
        protocol: its name, with the metric if that is not the cosine, and post-processing.
        split: split of the data set, or None.
        mean: scores in percent, means over trials.
        drawn: number of trials.
        file: the `evaluation.json`.
        epoch: number of epochs that the scored weights had finished; None: the file does not say.
    """

    protocol: str
    split: int | None
    mean: Mapping[str, float]
    drawn: int
    file: Path
    epoch: int | None = None


class RunRead(NamedTuple):
    """A run: its folder, the values of its configuration by key, and its scores by protocol."""

    folder: Path
    config: Mapping[str, Any]
    scores: Mapping[str, Scores]

    @property
    def method(self) -> str:
        """The meta-architecture."""
        return str(self.config.get(METHOD, "?"))


def find_runs(folder: Path) -> list[Path]:
    """Return the folders at and below a folder, also linked ones, that hold configuration and scores of a run, sorted.

    Raises:
        DataError: there are none.
    """
    if not folder.is_dir():
        raise DataError(f"'{folder}' is no folder")
    try:
        found = [place for place in folders_below(folder) if _is_run(place) and not _is_result(place, folder)]
    except OSError as error:
        raise DataError(f"'{error.filename}' cannot be read: {error.strerror}") from None
    if not found:
        raise DataError(
            f"'{folder}' holds no run with scores: a training writes {CONFIG} and evaluation.json to its OUTPUT_DIR"
        )
    return sorted(found)


def _is_run(folder: Path) -> bool:
    return (folder / CONFIG).is_file() and any(folder.glob(EVALUATION))


def _is_result(place: Path, top: Path) -> bool:
    """Return whether a folder holds results of `vireid evaluate` that are read with their run."""
    return place.parent.name == EVALUATED and top not in (place, place.parent) and _is_run(place.parent.parent)


def read_run(folder: Path) -> RunRead:
    """Read the configuration and the scores of a run, also those on other data sets (`vireid evaluate RUN --on SET`).

    Of a protocol that the training scored too, its scores are kept. Results of other weights than the final ones, of
    fewer epochs or with overrides are runs of their own, if they are named.

    Raises:
        DataError: a file is missing or is not what its name says.
    """
    config = folder / CONFIG
    try:
        values = flat_config(read_text(config), f"'{config}'")
    except OSError as error:
        raise DataError(f"'{config}' cannot be read: {error.strerror or error}; is '{folder}' a run?") from None
    except ConfigError as error:
        raise DataError(str(error)) from None
    except UnicodeDecodeError as error:
        raise DataError(f"'{config}' is no text in UTF-8: {error.reason} at byte {error.start}") from None
    for key in (EPOCHS, SEED):
        if not isinstance(values.get(key, 0), int):
            raise DataError(f"'{config}': {key} must be a whole number, got {values[key]!r}")
    scores: dict[str, Scores] = {}
    for file in sorted(folder.glob(EVALUATION)):
        for one in read_scores(file):
            scores.setdefault(one.protocol, one)
    for file in sorted((folder / EVALUATED).glob(f"{FINAL}*/{EVALUATION}")):
        if "=" not in file.parent.name:
            for one in read_scores(file):
                if one.epoch is None or one.epoch >= values.get(EPOCHS, 0):
                    scores.setdefault(one.protocol, one)
    if not scores:
        raise DataError(f"'{folder}' has no scores yet: its evaluation.json is missing")
    return RunRead(folder, values, scores)


def read_scores(file: Path) -> list[Scores]:
    """Return the scores of an `evaluation.json`, also one of an earlier release.

    Raises:
        DataError: it cannot be read, or holds no scores.
    """
    try:
        report = read_json(file)
        epoch = report.get("provenance", {}).get("epoch")
        found = [_scores(result, file, epoch if isinstance(epoch, int) else None) for result in report["results"]]
    except OSError as error:
        raise DataError(f"'{file}' cannot be read: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        found = []
    if not found:
        raise DataError(f"'{file}' holds no scores; write it again: vireid train --eval-only")
    return found


def _scores(result: Mapping[str, Any], file: Path, epoch: int | None) -> Scores:
    metric = str(result.get("metric", "cosine"))
    name = " + ".join(filter(None, (str(result["protocol"]), str(result.get("refinement", "")))))
    mean = {str(key): float(value) for key, value in result["mean"].items()}
    split = result.get("split")
    if not (split is None or isinstance(split, int)) or not mean:
        raise ValueError("no scores")
    label = name if metric == "cosine" else f"{name} by {metric}"
    return Scores(label, split, mean, int(result.get("trials", 1)), file, epoch)


def score_of(folder: Path, protocol: str, score: str) -> float:
    """Return a score of a run in percent.

    Args:
        folder: its folder.
        protocol: the protocol, with its post-processing, as tables name it.
        score: `mAP`, `mINP`, `Rank-1`, ...

    Raises:
        DataError: the run has no such score.
    """
    found = [one for file in sorted(folder.glob(EVALUATION)) for one in read_scores(file)]
    for one in found:
        if one.protocol == protocol and score in one.mean:
            return one.mean[score]
    listed = ", ".join(f"{one.protocol} ({', '.join(one.mean)})" for one in found) or "no scores"
    raise DataError(f"'{folder}' has no {score} under {protocol}; it has {listed}")
