"""Where scores come from: the weights, what trained them, the data, the code and the date."""

import platform
from collections.abc import Mapping
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from vireid_plugins.io.checkout import commit
from vireid_plugins.io.files import write_json
from vireid_plugins.io.json_file import read_json

PACKAGES = ("torch", "fastreid", "vireid_plugins")


class ScoredWeights(NamedTuple):
    """The weights that are scored.

    Attributes:
        file: their file: its name if it lies in the output folder, else its path; None: they were not in a file.
        sha256: of the file, in hexadecimal.
        epoch: number of finished epochs; None if the file does not say.
        seed: `SEED` of their training; None if it does not say.
    """

    file: str | None = None
    sha256: str | None = None
    epoch: int | None = None
    seed: int | None = None


UNKNOWN = ScoredWeights()


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that scores depend on."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def provenance(
    method: str, dataset: str, split: int | None, weights: ScoredWeights = UNKNOWN, extraction: str = "exact"
) -> dict[str, Any]:
    """Return the entry `provenance` of an `evaluation.json`.

    Args:
        method: the meta-architecture.
        dataset: name of the data set.
        split: its split, if it has any.
        weights: what was scored.
        extraction: how the features were computed, see `TEST.EXTRACTION`.
    """
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "method": method,
        "dataset": dataset,
        "split": split,
        **weights._asdict(),
        "extraction": extraction,
        "commit": commit(),
        "versions": versions(),
    }


def write_evaluation(file: Path, report: dict[str, Any]) -> None:
    """Write an `evaluation.json`. One that differs in nothing but its date is left alone, and so keeps it.

    Raises:
        ConfigError: the file cannot be written; an existing one is unchanged.
    """
    try:
        former = read_json(file)
    except (OSError, ValueError):
        former = None
    if _undated(former) != _undated(report):
        write_json(file, report)


def name_weights(file: Path, weights: ScoredWeights) -> None:
    """Enter the weights in an `evaluation.json` that was written before they were saved; another file is left alone.

    Raises:
        ConfigError: the file cannot be written; an existing one is unchanged.
    """
    try:
        report = read_json(file)
    except (OSError, ValueError):
        return
    if isinstance(report, dict) and isinstance(report.get("provenance"), dict):
        write_evaluation(file, {**report, "provenance": {**report["provenance"], **weights._asdict()}})


def _undated(report: Any) -> Any:
    if not isinstance(report, Mapping) or not isinstance(report.get("provenance"), Mapping):
        return report
    return {**report, "provenance": {key: value for key, value in report["provenance"].items() if key != "date"}}
