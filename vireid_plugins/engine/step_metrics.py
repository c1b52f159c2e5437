"""Writes losses every few steps, so that a device is not asked for them, nor the other processes, at each."""

from typing import Any

import torch
import torch.distributed as dist
from fastreid.engine.train_loop import HookBase
from fastreid.utils import comm
from fastreid.utils.events import get_event_storage
from torch import Tensor


class StepMetrics(HookBase):
    """Sums losses where they are and gives fast-reid's storage their means.

    They are written after the first step of a run, then every `period` steps and at the end of an epoch, before
    anything is evaluated or saved.

    Args:
        period: steps between two writings (`SOLVER.METRICS_PERIOD`).
    """

    trainer: Any

    def __init__(self, period: int) -> None:
        self.period = period
        self.first = True
        self._forget()

    def _forget(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.steps = 0
        self.waited = 0.0

    def add(self, losses: dict[str, Tensor], waited: float) -> None:
        """Take the losses of a step and the seconds it waited for its batch.

        Raises:
            FloatingPointError: a loss since the last writing was infinite or NaN; all processes raise it.
        """
        for name, value in losses.items():
            here = value.detach().double() if value.device.type == "cpu" else value.detach().float()
            self.sums[name] = self.sums[name] + here if name in self.sums else here
        self.steps += 1
        self.waited = max(self.waited, waited)
        if self.first or self.steps == self.period:
            self.first = False
            self.write()

    def write(self) -> None:
        """Write what was added since the last writing."""
        if not self.steps:
            return
        means = torch.stack(list(self.sums.values())) / self.steps
        waited = torch.tensor(self.waited, dtype=means.dtype, device=means.device)
        if comm.get_world_size() > 1:
            dist.all_reduce(means)
            means /= comm.get_world_size()
            dist.all_reduce(waited, dist.ReduceOp.MAX)
        *values, longest = torch.cat([means, waited[None]]).tolist()
        named, steps = dict(zip(self.sums, values, strict=True)), self.steps
        self._forget()
        if not torch.isfinite(means).all():
            raise FloatingPointError(
                f"a loss became infinite or NaN in the {steps} steps up to iteration {self.trainer.iter}: "
                + ", ".join(f"{name} {value:.4g}" for name, value in named.items())
            )
        storage = get_event_storage()
        storage.put_scalars(data_time=longest, total_loss=sum(values))
        if len(named) > 1:
            storage.put_scalars(**named)

    def after_epoch(self) -> None:
        """Write the rest of the epoch."""
        self.write()
