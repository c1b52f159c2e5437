"""Run a sweep: skip what is finished, continue what was interrupted, list what failed."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from vireid_plugins.engine.output_folder import claim
from vireid_plugins.errors import LaunchError, StoppedError
from vireid_plugins.experiments.local import LocalExecutor
from vireid_plugins.experiments.outcomes import FAILED, KEPT, STOPPED, Outcome, Report, counts, unfinished
from vireid_plugins.experiments.plan import PlannedRun, plan_runs
from vireid_plugins.experiments.sweep_file import SweepFile

Say = Callable[[str], None]


class Executor(Protocol):
    """What runs trainings: on this machine, or as jobs of a cluster."""

    def run(self, runs: Sequence[PlannedRun], report: Report) -> list[Outcome]:
        """Run trainings, call `report` with each that ends, and return how they ended, in the order given."""


def executor_of(sweep: SweepFile) -> Executor:
    """Return what runs the trainings of a sweep.

    Raises:
        InstallError: submitit is missing.
        ConfigError: it does not take the parameters in `slurm`.
    """
    if sweep.executor == "slurm":
        from vireid_plugins.experiments.slurm import SubmititExecutor

        return SubmititExecutor(sweep)
    return LocalExecutor(sweep.config, sweep.jobs, sweep.devices)


def run_sweep(sweep: SweepFile, overrides: Sequence[str], say: Say) -> list[Outcome]:
    """Run every run of a sweep that is not finished, and return how all of them ended.

    The same call continues an interrupted sweep.

    Args:
        sweep: the sweep.
        overrides: of all runs, KEY, value, ...
        say: shows a line.

    Raises:
        ConfigError: a key or value is wrong, or another sweep runs in the same output folder.
        InstallError: an optional package is missing.
        LaunchError: runs failed; the message lists them with their last error lines.
        StoppedError: a signal stopped the sweep; its runs are saved.
    """
    executor = executor_of(sweep)
    if sweep.search is not None:
        from vireid_plugins.experiments.search import Searcher

        searcher = Searcher(sweep, overrides)
        with claim(Path(sweep.output), resume=True):
            outcomes = searcher.run(lambda runs: run_unfinished(executor, runs, say), say)
    else:
        runs = plan_runs(sweep, sweep.settings, overrides)
        with claim(Path(sweep.output), resume=True):
            outcomes = run_unfinished(executor, runs, say)
    say(f"{len(outcomes)} runs: {counts(outcomes)}")
    require_success(outcomes)
    return outcomes


def run_unfinished(executor: Executor, runs: Sequence[PlannedRun], say: Say) -> list[Outcome]:
    """Run those of the runs that are not finished, and return how all of them ended, in the order given."""
    left = unfinished(runs)
    names = {run.name for run in left}
    done = {run.name: Outcome(run, KEPT) for run in runs if run.name not in names}
    for outcome in done.values():
        say(f"{outcome.run.name}: {outcome.state}{_other_scoring(outcome.run)}")

    def report(outcome: Outcome) -> None:
        say(f"{outcome.run.name}: {outcome.state}{f': {outcome.reason}' if outcome.reason else ''}")

    done |= {outcome.run.name: outcome for outcome in executor.run(left, report)} if left else {}
    return [done[run.name] for run in runs]


def _other_scoring(run: PlannedRun) -> str:
    """Return a clause that says that a finished run has not been scored as it is asked for now, if so."""
    if not run.scoring:
        return ""
    return (
        f", with other values of {', '.join(run.scoring)}, by which its scores stay; to score it by those of now: "
        f"vireid evaluate {run.folder} KEY=value ..."
    )


def require_success(outcomes: Sequence[Outcome]) -> None:
    """Raise if a run failed or was stopped.

    Raises:
        LaunchError: runs failed.
        StoppedError: a signal stopped the sweep.
    """
    failed = [outcome for outcome in outcomes if outcome.state == FAILED]
    if failed:
        lines = [f"  {outcome.run.folder}: {outcome.reason}" for outcome in failed]
        raise LaunchError(
            f"{len(failed)} of {len(outcomes)} runs failed; the same command tries them again. Their last lines:",
            *lines,
        )
    if stopped := [outcome for outcome in outcomes if outcome.state == STOPPED]:
        raise StoppedError(f"{len(stopped)} of {len(outcomes)} runs were stopped; the same command continues them")
