import pytest
import torch
from fastreid.solver import build_lr_scheduler as fastreid_schedule
from helpers import small_cfg

from vireid_plugins.engine.hooks.lr_schedule import AbsoluteSchedule, build_lr_scheduler

ITERS = 4


def factors(epochs: int, *overrides: str) -> list[float]:
    """The factor at the first iteration of every epoch."""
    schedule = AbsoluteSchedule(small_cfg("SYSU/wrim.yml", *overrides), ITERS)
    return [schedule(epoch * ITERS) for epoch in range(epochs)]


def test_absolute_schedule_drops_on_the_printed_epochs_after_any_warm_up() -> None:
    found = factors(10, "SOLVER.WARMUP_ITERS", str(3 * ITERS), "SOLVER.STEPS", "[5, 8]")
    assert found[3:] == pytest.approx([1, 1, 0.1, 0.1, 0.1, 0.01, 0.01])


def test_fastreid_schedule_drops_later() -> None:
    """The finding: its scheduler is stepped once an epoch from the end of warm-up on, so 5 and 8 become 8 and 11."""
    cfg = small_cfg("SYSU/wrim.yml", "SOLVER.WARMUP_ITERS", str(3 * ITERS), "SOLVER.STEPS", "[5, 8]")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    schedule = fastreid_schedule(cfg, optimizer, ITERS)
    drops, iteration = [], 0
    for epoch in range(14):
        before = optimizer.param_groups[0]["lr"]
        for _ in range(ITERS):
            optimizer.step()
            iteration += 1
            if iteration <= 3 * ITERS:
                schedule["warmup_sched"].step()
        if iteration > 3 * ITERS:
            schedule["lr_sched"].step()
        if epoch > 3 and optimizer.param_groups[0]["lr"] < before / 2:
            drops.append(epoch + 1)
    assert drops
    assert drops != [5, 8]


def test_absolute_schedule_with_warm_up_by_iterations_rises_in_a_line() -> None:
    schedule = AbsoluteSchedule(small_cfg("SYSU/wrim.yml", "SOLVER.WARMUP_ITERS", "10"), ITERS)
    assert [schedule(i) for i in (0, 5, 10)] == pytest.approx([0.1, 0.55, 1])


def test_absolute_schedule_with_warm_up_by_epochs_rises_as_in_agw() -> None:
    found = factors(12, "SOLVER.WARMUP_EPOCHS", "10", "SOLVER.STEPS", "[20]")
    assert found == pytest.approx([0.1 * n for n in range(1, 11)] + [1, 1])


def test_absolute_schedule_by_cosine_starts_late_and_ends_at_the_least_rate() -> None:
    found = factors(
        21,
        "SOLVER.SCHED",
        "CosineAnnealingLR",
        "SOLVER.DELAY_EPOCHS",
        "10",
        "SOLVER.MAX_EPOCH",
        "20",
        "SOLVER.ETA_MIN_LR",
        "0.000035",
    )
    assert found[:11] == pytest.approx([1] * 11)
    assert found[15] == pytest.approx(0.55)
    assert found[20] == pytest.approx(0.1)


def test_build_lr_scheduler_sets_the_rates_of_the_optimizer() -> None:
    cfg = small_cfg("SYSU/wrim.yml", "SOLVER.STEPS", "[1]")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=2.0)
    schedule = build_lr_scheduler(cfg, optimizer, ITERS)["lr_sched"]
    rates = []
    for _ in range(2 * ITERS):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates == pytest.approx([2.0] * ITERS + [0.2] * ITERS)


def test_floored_cosine_starts_and_ends_every_group_at_the_same_rate() -> None:
    cfg = small_cfg(
        *("SYSU/wrim.yml", "SOLVER.SCHED", "FlooredCosineLR", "SOLVER.MAX_EPOCH", "6"),
        *("SOLVER.WARMUP_EPOCHS", "2", "SOLVER.ETA_MIN_LR", "0.1"),
    )
    groups = [{"params": [torch.nn.Parameter(torch.ones(1))], "lr": rate} for rate in (1.0, 3.0)]
    optimizer = torch.optim.SGD(groups)
    schedule = build_lr_scheduler(cfg, optimizer, ITERS)["lr_sched"]
    rates = []
    for _ in range(6 * ITERS):
        rates.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        schedule.step()
    # Epoch 1 is the warm-up: half of the way from the floor. Epoch 3 is half of the cosine.
    assert rates[0] == pytest.approx([0.55, 1.55])
    assert rates[ITERS - 1] == rates[0]
    assert rates[2 * ITERS] == pytest.approx([0.55, 1.55])
    assert rates[-1] == pytest.approx([0.1, 0.1])
