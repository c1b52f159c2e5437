"""The learning-rate schedule as in the papers: milestones are epochs of the run.

fast-reid counts milestones from the end of warm-up, so that `STEPS: [5, 8]` after three warm-up epochs takes effect at
epochs 7 and 10.
"""

import bisect
import math
from collections.abc import Callable

import torch
from fastreid.config import CfgNode
from fastreid.engine.train_loop import HookBase
from fastreid.solver.lr_scheduler import _get_warmup_factor_at_epoch
from torch.optim.lr_scheduler import LambdaLR


class AbsoluteSchedule:
    """Factor of the learning rate at an iteration: warm-up times decay.

    Warm-up lasts `SOLVER.WARMUP_ITERS` iterations. If `SOLVER.WARMUP_EPOCHS` is set, it lasts that many epochs instead,
    steps once per epoch and has the full rate in the last: 0.1, 0.2, ..., 1 for factor 0.1 and 10 epochs, as in AGW.

    Args:
        cfg: the configuration; only `SOLVER` is read.
        iters_per_epoch: iterations per epoch.
    """

    def __init__(self, cfg: CfgNode, iters_per_epoch: int) -> None:
        self.solver, self.iters_per_epoch = cfg.SOLVER, iters_per_epoch

    def __call__(self, iteration: int) -> float:
        """Return the factor for the zero-based iteration."""
        return self._warmup(iteration) * self._decay(iteration // self.iters_per_epoch)

    def _warmup(self, iteration: int) -> float:
        s = self.solver
        if s.WARMUP_EPOCHS:
            position, length = iteration // self.iters_per_epoch, s.WARMUP_EPOCHS - 1
        else:
            position, length = iteration, s.WARMUP_ITERS
        return float(_get_warmup_factor_at_epoch(s.WARMUP_METHOD, position, length, s.WARMUP_FACTOR))

    def _decay(self, epoch: int) -> float:
        s = self.solver
        if s.SCHED == "MultiStepLR":
            return float(s.GAMMA ** bisect.bisect_right(sorted(s.STEPS), epoch))
        # Cosine from the end of SOLVER.DELAY_EPOCHS to the last epoch.
        progress = max(0, epoch - s.DELAY_EPOCHS) / max(1, s.MAX_EPOCH - s.DELAY_EPOCHS)
        minimum = s.ETA_MIN_LR / s.BASE_LR
        return float(minimum + (1 - minimum) * (1 + math.cos(math.pi * progress)) / 2)


def floored_rate(rate: float, epoch: int, *, epochs: int, warmup: int, floor: float) -> float:
    """Return the rate of an epoch under `SOLVER.SCHED FlooredCosineLR`, as in PMT's code.

    Start and end are the same for all groups, so that no common factor gives it. The cosine is under way when the
    warm-up ends.

    Args:
        rate: the group's full rate.
        epoch: counted from 1.
        epochs: `SOLVER.MAX_EPOCH`.
        warmup: `SOLVER.WARMUP_EPOCHS`; that epoch is the first after the warm-up.
        floor: `SOLVER.ETA_MIN_LR`.
    """
    if epoch < warmup:
        return floor + epoch * (rate - floor) / warmup
    return floor + (rate - floor) * (1 + math.cos(math.pi * min(1.0, epoch / epochs))) / 2


def build_lr_scheduler(cfg: CfgNode, optimizer: torch.optim.Optimizer, iters_per_epoch: int) -> dict[str, LambdaLR]:
    """Return the schedule under the name by which fast-reid's checkpointer saves it."""
    if cfg.SOLVER.SCHED == "FlooredCosineLR":
        return {"lr_sched": LambdaLR(optimizer, _floored_factors(cfg, optimizer, iters_per_epoch))}
    schedule = AbsoluteSchedule(cfg, iters_per_epoch)
    # A plain function: LambdaLR saves the attributes of callable objects, but checkpoints contain only plain values.
    return {"lr_sched": LambdaLR(optimizer, lambda iteration: schedule(iteration))}


def _floored_factors(
    cfg: CfgNode, optimizer: torch.optim.Optimizer, iters_per_epoch: int
) -> list[Callable[[int], float]]:
    """Return the factor of each group's rate, by the zero-based iteration."""
    s = cfg.SOLVER

    def factor_of(rate: float) -> Callable[[int], float]:
        def factor(iteration: int) -> float:
            epoch = iteration // iters_per_epoch + 1
            floored = floored_rate(rate, epoch, epochs=s.MAX_EPOCH, warmup=s.WARMUP_EPOCHS, floor=s.ETA_MIN_LR)
            return floored / rate if rate else 0.0

        return factor

    return [factor_of(group["lr"]) for group in optimizer.param_groups]


class LearningRate(HookBase):
    """Steps the schedule after every iteration and logs the rate of the largest group."""

    def __init__(self, optimizer: torch.optim.Optimizer, scheduler: LambdaLR) -> None:
        self.optimizer, self.scheduler = optimizer, scheduler
        sizes = [sum(p.numel() for p in group["params"]) for group in optimizer.param_groups]
        # Its index, because a resume replaces the group objects.
        self.group = sizes.index(max(sizes))

    def after_step(self) -> None:
        """Log the rate of this iteration, then step the schedule."""
        self.trainer.storage.put_scalar("lr", self.optimizer.param_groups[self.group]["lr"], smoothing_hint=False)
        self.scheduler.step()
