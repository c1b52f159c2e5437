"""The sums of losses that a run is saved with within an epoch."""

from argparse import Namespace
from typing import Any

import pytest
import torch

from vireid_plugins.engine.hooks import step_metrics
from vireid_plugins.engine.hooks.step_metrics import StepMetrics
from vireid_plugins.engine.step import StepResult
from vireid_plugins.errors import LossError


def summed(value: float) -> StepMetrics:
    metrics = StepMetrics(period=10)
    metrics.sums, metrics.steps, metrics.waited = {"loss": torch.tensor(value, dtype=torch.float64)}, 3, value
    return metrics


def as_process(monkeypatch: pytest.MonkeyPatch, rank: int, world: int) -> None:
    monkeypatch.setattr(step_metrics.comm, "get_rank", lambda: rank)
    monkeypatch.setattr(step_metrics.comm, "get_world_size", lambda: world)


@pytest.fixture
def saved(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the main one of two processes saves."""
    processes = [summed(1.0), summed(5.0)]
    monkeypatch.setattr(step_metrics.comm, "gather", lambda own: [one._own() for one in processes])
    processes[0].capture()
    return processes[0].state_dict()


@pytest.mark.parametrize(("rank", "value"), [(0, 1.0), (1, 5.0)])
def test_step_metrics_of_each_process_resume_with_their_own_sums(
    saved: dict[str, Any], monkeypatch: pytest.MonkeyPatch, rank: int, value: float
) -> None:
    as_process(monkeypatch, rank, 2)
    resumed = StepMetrics(period=10)
    resumed.load_state_dict(saved)
    assert (resumed.sums["loss"].item(), resumed.steps, resumed.waited) == (value, 3, value)


def test_step_metrics_in_another_number_of_processes_resume_with_the_mean(
    saved: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    as_process(monkeypatch, 0, 1)
    resumed = StepMetrics(period=10)
    resumed.load_state_dict(saved)
    assert (resumed.sums["loss"].item(), resumed.steps, resumed.waited) == (3.0, 3, 5.0)


def test_step_metrics_of_an_earlier_release_resume_with_what_it_saved() -> None:
    resumed = StepMetrics(period=10)
    resumed.load_state_dict(
        {"first": False, "skipped": 1, "sums": {"loss": torch.tensor(2.0)}, "steps": 4, "waited": 0.5}
    )
    assert (resumed.sums["loss"].item(), resumed.steps, resumed.skipped) == (2.0, 4, 1)


def test_step_metrics_of_a_process_without_the_broken_loss_name_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever process ends first, the message is the same."""
    others = "iteration 3: loss_a is nan, on a batch of x.jpg"
    monkeypatch.setattr(step_metrics.comm, "get_world_size", lambda: 2)
    monkeypatch.setattr(step_metrics.comm, "all_gather", lambda own: [own, others])
    monkeypatch.setattr(step_metrics.dist, "all_reduce", lambda tensor, *_: tensor.mul_(float("nan")))
    metrics = StepMetrics(period=10, last_good=lambda: "the last good checkpoint is 'model_0001.pth'")
    metrics.trainer = Namespace(iter=3)
    with pytest.raises(LossError, match=rf"{others}\. Lower SOLVER\.BASE_LR .* the last good .* 'model_0001\.pth'"):
        metrics.record(StepResult({"loss_a": torch.tensor(1.0)}, {"img_paths": ["y.jpg"]}, 0.0, skipped=False))
