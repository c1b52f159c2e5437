"""The learning rate as the papers print it: milestones are epochs of the run.

fast-reid steps its milestones from the end of warm-up on, so that `STEPS: [5, 8]` after three warm-up epochs acts at 7
and 10.
"""

import bisect
import math

import torch
from fastreid.config import CfgNode
from fastreid.engine.train_loop import HookBase
from fastreid.solver.lr_scheduler import _get_warmup_factor_at_epoch
from torch.optim.lr_scheduler import LambdaLR


class AbsoluteSchedule:
    """Factor of the learning rate at an iteration: warm-up times decay.

    Warm-up runs over `SOLVER.WARMUP_ITERS` iterations, or, where `SOLVER.WARMUP_EPOCHS` is set, once an epoch over so
    many epochs, the last of which has the full rate: with factor 0.1 and 10 epochs 0.1, 0.2, ..., 1, as in AGW.

    Args:
        cfg: reads `SOLVER`.
        iters_per_epoch: iterations of an epoch.
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
        share = max(0, epoch - s.DELAY_EPOCHS) / max(1, s.MAX_EPOCH - s.DELAY_EPOCHS)
        least = s.ETA_MIN_LR / s.BASE_LR
        return float(least + (1 - least) * (1 + math.cos(math.pi * share)) / 2)


def build_lr_scheduler(cfg: CfgNode, optimizer: torch.optim.Optimizer, iters_per_epoch: int) -> dict[str, LambdaLR]:
    """Return the schedule under the name that fast-reid's checkpointer saves it by."""
    schedule = AbsoluteSchedule(cfg, iters_per_epoch)
    # A plain function, since LambdaLR saves the attributes of callable objects, and checkpoints hold plain values only.
    return {"lr_sched": LambdaLR(optimizer, lambda iteration: schedule(iteration))}


class LearningRate(HookBase):
    """Steps the schedule after every iteration and logs the rate of the largest group."""

    def __init__(self, optimizer: torch.optim.Optimizer, scheduler: LambdaLR) -> None:
        self.optimizer, self.scheduler = optimizer, scheduler
        sizes = [sum(p.numel() for p in group["params"]) for group in optimizer.param_groups]
        # Its number: a resume puts other groups in their place.
        self.group = sizes.index(max(sizes))

    def after_step(self) -> None:
        """Log the rate just used, then step."""
        self.trainer.storage.put_scalar("lr", self.optimizer.param_groups[self.group]["lr"], smoothing_hint=False)
        self.scheduler.step()
