"""Run trainings as jobs of a Slurm cluster, through submitit (https://github.com/facebookincubator/submitit, MIT)."""

import importlib
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vireid_plugins.errors import ConfigError, InstallError
from vireid_plugins.experiments.outcomes import FAILED, Outcome, Report, open_console, outcome_of, words_of
from vireid_plugins.experiments.plan import PlannedRun
from vireid_plugins.experiments.sweep_file import SweepFile
from vireid_plugins.io.files import make_folder, write_json
from vireid_plugins.io.json_file import read_json
from vireid_plugins.processes import start_command

CLUSTERS = ("slurm", "local", "debug")
# Seconds between two looks at the jobs.
LOOK = {"slurm": 15.0}


def submitit() -> Any:
    """Import submitit.

    Raises:
        InstallError: it is missing; the message ends with the command that installs it.
    """
    try:
        return importlib.import_module("submitit")
    except ImportError as error:
        raise InstallError(f"executor: slurm needs submitit ({error}):", "    pip install submitit") from None


class TrainingJob:
    """What a job does: it starts a training, or continues it, and returns its exit code.

    Args:
        run: the run.
        config: its configuration file.
        cluster: `slurm`, `local` or `debug`.
    """

    def __init__(self, run: PlannedRun, config: str, cluster: str) -> None:
        self.run, self.config, self.cluster = run, config, cluster
        self._process: Any = None

    def __call__(self) -> int:
        """Train."""
        env = dict(os.environ)
        # submitit's own executors hide every device from a job that asks for none.
        if self.cluster != "slurm" and not env.get("CUDA_VISIBLE_DEVICES"):
            env.pop("CUDA_VISIBLE_DEVICES", None)
        console = open_console(self.run.folder)
        try:
            self._process = start_command(words_of(self.run, self.config), console.fileno(), env)
        finally:
            console.close()
        return int(self._process.wait())

    def checkpoint(self) -> Any:
        """Let the training save and end before its time is up; return the job that goes on from there."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait()
        return submitit().helpers.DelayedSubmission(TrainingJob(self.run, self.config, self.cluster))


class SubmititExecutor:
    """Submits every training as a job and waits for all of them; jobs go on if this process ends.

    The parameters in `slurm` are submitit's (`timeout_min`, `gpus_per_node`, `slurm_partition`, ...) and `cluster`:
    `slurm`, `local` (processes of this machine) or `debug` (this process).

    Args:
        sweep: the sweep.

    Raises:
        InstallError: submitit is missing.
        ConfigError: it does not take the parameters.
    """

    def __init__(self, sweep: SweepFile) -> None:
        self.config, self.folder = sweep.config, sweep.output / "jobs"
        given = dict(sweep.slurm)
        self.cluster = str(given.pop("cluster", "slurm"))
        where = f"{sweep.title}: slurm"
        if self.cluster not in CLUSTERS:
            raise ConfigError(f"{where}: cluster must be one of {', '.join(CLUSTERS)}; got '{self.cluster}'")
        if "timeout_min" not in given:
            raise ConfigError(f"{where}: timeout_min is missing; without it submitit ends a job after a few minutes")
        module = submitit()
        make_folder(self.folder, "output")
        try:
            self.executor = module.AutoExecutor(folder=self.folder, cluster=self.cluster)
            self.executor.update_parameters(name="vireid", **given)
        except (RuntimeError, TypeError, ValueError, NameError) as error:
            raise ConfigError(f"{where}: {error}") from None

    def run(self, runs: Sequence[PlannedRun], report: Report) -> list[Outcome]:
        """Submit trainings that no job of an earlier call is at, and return how each of them ended, in order."""
        jobs = {run.name: self._earlier(run) or self._submitted(run) for run in runs}
        ended: dict[str, Outcome] = {}
        while len(ended) < len(runs):
            for run in runs:
                if run.name not in ended and jobs[run.name].done():
                    ended[run.name] = self._outcome(run, jobs[run.name])
                    report(ended[run.name])
            time.sleep(LOOK.get(self.cluster, 0.1) if len(ended) < len(runs) else 0)
        return [ended[run.name] for run in runs]

    def _submitted(self, run: PlannedRun) -> Any:
        job = self.executor.submit(TrainingJob(run, self.config, self.cluster))
        write_json(self._note(run), {"job": str(job.job_id)})
        return job

    def _earlier(self, run: PlannedRun) -> Any:
        """Return the job that an earlier sweep has submitted for a run, if it is still waiting or running."""
        if self.cluster != "slurm":
            return None
        try:
            number = str(read_json(self._note(run))["job"])
            job = submitit().SlurmJob(folder=self.folder, job_id=number)
            return None if job.done(force_check=True) else job
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _note(self, run: PlannedRun) -> Path:
        return self.folder / f"{run.name}.json"

    def _outcome(self, run: PlannedRun, job: Any) -> Outcome:
        try:
            return outcome_of(run, int(job.result()))
        except Exception as error:  # whatever the job raised, or submitit says of one that is gone
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            return Outcome(run, FAILED, f"job {job.job_id}: {lines[0] if lines else type(error).__name__}")
