"""Jobs of the real submitit, by its executors for this machine."""

from pathlib import Path
from typing import Any

import fake_trainings as fakes
import pytest
import submitit

from vireid_plugins.errors import ConfigError, LaunchError
from vireid_plugins.experiments import outcomes, slurm
from vireid_plugins.experiments.plan import plan_runs
from vireid_plugins.experiments.sweep import run_sweep
from vireid_plugins.experiments.sweep_file import SweepFile


def sweep_of(folder: Path, **parameters: Any) -> SweepFile:
    settings = [{"SOLVER.BASE_LR": rate} for rate in (0.1, 0.5)]
    given = {"cluster": "debug", "timeout_min": 5} | parameters
    return SweepFile(folder / "s.yml", "SYSU/one_stream.yml", folder / "out", settings, executor="slurm", slurm=given)


@pytest.fixture
def faked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm, "start_command", fakes.start)
    monkeypatch.setattr(outcomes, "finished", fakes.finished)


@pytest.mark.usefixtures("faked")
def test_submitit_runs_every_training_as_a_job_and_lists_what_failed(tmp_path: Path) -> None:
    for attempt in (1, 2):
        with pytest.raises(LaunchError, match="1 of 2 runs failed") as caught:
            run_sweep(sweep_of(tmp_path), [], lambda _: None)
        assert "error: of this run" in str(caught.value)
        assert len(fakes.starts(tmp_path / "out" / "base_lr-0.1")) == 1
        assert len(fakes.starts(tmp_path / "out" / "base_lr-0.5")) == attempt


@pytest.mark.usefixtures("faked")
@pytest.mark.parametrize(("found", "passed"), [("", "None"), ("3", "3")])
def test_training_job_drops_the_empty_list_of_devices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: str, passed: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", found)
    sweep = sweep_of(tmp_path)
    run = plan_runs(sweep, sweep.settings)[0]
    assert slurm.TrainingJob(run, sweep.config, "local")() == 0
    assert fakes.starts(run.folder)[0].split()[2] == passed


@pytest.mark.usefixtures("faked")
def test_training_job_that_is_preempted_lets_the_training_end_and_goes_on_as_a_new_job(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path)
    run = plan_runs(sweep, sweep.settings)[0]
    job = slurm.TrainingJob(run, sweep.config, "slurm")
    assert job() == 0
    again = job.checkpoint()
    assert isinstance(again, submitit.helpers.DelayedSubmission)
    assert again.function.run == run
    assert "--resume" in outcomes.words_of(run, sweep.config)


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"cluster": "pbs"}, "cluster must be one of slurm, local, debug; got 'pbs'"),
        ({"timeout_min": 1, "partitoin": "x"}, "partitoin"),
    ],
)
def test_submitit_executor_of_wrong_parameters_is_one_error(
    tmp_path: Path, parameters: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        slurm.SubmititExecutor(sweep_of(tmp_path, **parameters))


def test_submitit_executor_without_a_time_is_one_error(tmp_path: Path) -> None:
    sweep = SweepFile(tmp_path / "s.yml", "x", tmp_path, executor="slurm", slurm={"cluster": "local"})
    with pytest.raises(ConfigError, match="timeout_min is missing"):
        slurm.SubmititExecutor(sweep)


@pytest.mark.slow
def test_submitit_runs_a_job_of_its_own_that_cannot_start_its_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real job on this machine: its process imports the package and starts `vireid train`."""
    monkeypatch.setenv("FASTREID_DATASETS", str(tmp_path))
    settings = [{"MODEL.WEIGHTS": "/nowhere.pth", "MODEL.BACKBONE.PRETRAIN": "False", "MODEL.DEVICE": "cpu"}]
    parameters = {"cluster": "local", "timeout_min": 20}
    sweep = SweepFile(
        tmp_path / "s.yml", "SYSU/one_stream.yml", tmp_path / "out", settings, executor="slurm", slurm=parameters
    )
    with pytest.raises(LaunchError, match="error: SYSU-MM01 is incomplete"):
        run_sweep(sweep, [], lambda _: None)
