"""How the runs of a sweep ended, and what their consoles said last."""

import os
import re
import signal
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from vireid_plugins.engine.finished_run import finished
from vireid_plugins.errors import DataError, StoppedError
from vireid_plugins.experiments.plan import PlannedRun
from vireid_plugins.io.files import LineFile, make_folder, set_aside
from vireid_plugins.io.json_file import read_json
from vireid_plugins.io.regular import open_regular, sha256_of

# Standard output and error of a run, in its folder.
CONSOLE = "console.txt"
FINISHED, FAILED, STOPPED, KEPT = "finished", "failed", "stopped", "finished before"
# Bytes at the end of a console that are read.
TAIL = 64 * 2**10
_COLOR = re.compile("\x1b\\[[0-9;]*m")


class Outcome(NamedTuple):
    """How a run ended.

    Attributes:
        run: the run.
        state: `finished`, `finished before`, `failed` or `stopped`.
        reason: the last line of its error; empty if there was none.
    """

    run: PlannedRun
    state: str
    reason: str = ""


# Called with every run that ends.
Report = Callable[[Outcome], None]


def words_of(run: PlannedRun, config: str) -> list[str]:
    """Return the arguments of `vireid` that start a run, or continue it if it has saved anything."""
    resume = ["--resume"] if any(run.folder.rglob("*.pth")) else []
    return ["train", "--config-file", config, *(["--eval-only"] if run.weights else resume), *run.words]


def ended(run: PlannedRun) -> bool:
    """Return whether a run has trained and scored all epochs, or has scored its weights as they are now."""
    if run.weights is None:
        return finished(run.folder, run.epochs, run.scored)
    return scored(run.folder, run.weights)


def scored(folder: Path, weights: Path) -> bool:
    """Return whether a folder holds the scores of a checkpoint, by the digest of its content.

    Raises:
        DataError: the checkpoint cannot be read.
    """
    try:
        digest = sha256_of(weights)
    except OSError as error:
        raise DataError(f"'{weights}' cannot be read: {error.strerror or error}") from None
    try:
        reports = [read_json(file) for file in folder.glob("evaluation*.json")]
        return bool(reports) and all(report["provenance"]["sha256"] == digest for report in reports)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def outcome_of(run: PlannedRun, code: int) -> Outcome:
    """Return how a run ended whose process ended with an exit code; -9 for SIGKILL, as in `subprocess`."""
    if code == StoppedError.exit_code:
        return Outcome(run, STOPPED)
    if code == 0 and ended(run):
        return Outcome(run, FINISHED)
    if code == 0:
        return Outcome(run, FAILED, "it ended without a final checkpoint and scores")
    if code < 0:
        return Outcome(run, FAILED, f"it was killed by {signal.Signals(-code).name}")
    return Outcome(run, FAILED, last_error(run.folder / CONSOLE) or f"exit code {code}")


def open_console(folder: Path) -> LineFile:
    """Open a new console of a run; that of an earlier attempt becomes `console.1.txt`, `console.2.txt`, ...

    Raises:
        ConfigError: the folder cannot be written.
    """
    make_folder(folder, "output")
    set_aside(folder / CONSOLE)
    return LineFile(folder / CONSOLE)


def last_error(console: Path) -> str:
    """Return the last line of a console that begins with `error:`, else the last that is not empty."""
    try:
        with open_regular(console) as stream:
            stream.seek(max(0, os.fstat(stream.fileno()).st_size - TAIL))
            text = stream.read().decode(errors="replace")
    except OSError:
        return ""
    lines = [line.strip() for line in _COLOR.sub("", text).replace("\r", "\n").splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("error: ")]
    return (errors or lines or [""])[-1]


def counts(outcomes: Iterable[Outcome]) -> str:
    """Return a clause such as `5 finished, 1 failed`."""
    states = [outcome.state for outcome in outcomes]
    return ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))


def unfinished(runs: Sequence[PlannedRun]) -> list[PlannedRun]:
    """Return the runs that have not ended."""
    return [run for run in runs if not ended(run)]
