"""One training step in mixed precision."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from fastreid.utils import comm
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from vireid_plugins.data.batch import split_identities

Losses = dict[str, Tensor]


class StepResult(NamedTuple):
    """The result of a training step.

    Attributes:
        losses: scalars, still on their device; with accumulation, the means over the parts of the batch.
        batch: the batch.
        waited: seconds spent waiting for the batch.
        skipped: whether the step was skipped because a loss was not finite; weights, buffers and optimizer are then
            unchanged.
    """

    losses: Losses
    batch: Any
    waited: float
    skipped: bool


class TrainingStep:
    """Takes training steps of a model: forward, backward, optimizer.

    Args:
        model: returns the losses of a batch; may be wrapped in `DistributedDataParallel`.
        optimizer: its optimizer, which clips gradients in its own `step`, if at all, as fast-reid's does.
        dtype: autocast type; None: no autocast.
        scaler: loss scaler; None: no scaling.
        parts: gradient-accumulation steps per batch; the identities are divided among them.
        skip_nonfinite: skip steps whose losses are infinite or NaN in any process.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        dtype: torch.dtype | None = None,
        scaler: torch.amp.GradScaler | None = None,
        *,
        parts: int = 1,
        skip_nonfinite: bool = False,
    ) -> None:
        self.model, self.optimizer, self.dtype = model, optimizer, dtype
        self.device = next(model.parameters()).device.type
        self.scaler = scaler or torch.amp.GradScaler(self.device, enabled=False)
        self.parts, self.skip_nonfinite = parts, skip_nonfinite

    def __call__(self, batches: Iterator[Any]) -> StepResult:
        """Take a step with the next batch."""
        start = time.perf_counter()
        batch = next(batches)
        waited = time.perf_counter() - start

        self.optimizer.zero_grad(set_to_none=True)
        # The forward pass updates the running statistics.
        buffers = [buffer.clone() for buffer in self.model.buffers()] if self.skip_nonfinite else []
        losses = self._forward_and_backward(batch)
        if self.skip_nonfinite and not _finite_everywhere(losses):
            self._undo(buffers)
            return StepResult(losses, batch, waited, skipped=True)
        # Before the optimizer's step, which clips gradients (SOLVER.CLIP_GRADIENTS).
        self.scaler.unscale_(self.optimizer)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return StepResult(losses, batch, waited, skipped=False)

    def _forward_and_backward(self, batch: Any) -> Losses:
        """Accumulate the gradients of all parts of a batch, and return their mean losses."""
        parts = split_identities(batch, self.parts) if self.parts > 1 else [batch]
        names: list[str] = []
        means: Any = 0
        for number, part in enumerate(parts, start=1):
            with self._synchronization(last=number == len(parts)):
                with torch.autocast(self.device, dtype=self.dtype, enabled=self.dtype is not None):
                    losses: Losses = self.model(part)
                # In one tensor: the sum and the means are one call each, however many losses there are.
                values = torch.stack(list(losses.values()))
                total = values.sum()
                self.scaler.scale(total / len(parts) if len(parts) > 1 else total).backward()
            names = list(losses)
            means = values.detach() if len(parts) == 1 else means + values.detach() / len(parts)
        return dict(zip(names, means.unbind(), strict=True))

    def _synchronization(self, last: bool) -> AbstractContextManager[None]:
        """Return a context in which processes average gradients only in the last part of a batch."""
        if isinstance(self.model, DistributedDataParallel) and not last:
            no_sync: AbstractContextManager[None] = self.model.no_sync()
            return no_sync
        return nullcontext()

    def _undo(self, buffers: list[Tensor]) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        for buffer, former in zip(self.model.buffers(), buffers, strict=True):
            buffer.copy_(former)


def _finite_everywhere(losses: Losses) -> bool:
    """Return whether the losses of all processes are finite."""
    finite = torch.isfinite(torch.stack(list(losses.values()))).all().float()
    if comm.get_world_size() > 1:
        dist.all_reduce(finite, dist.ReduceOp.MIN)
    return bool(finite)
