"""One training step in mixed precision."""

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel


def take_step(
    trainer: Any,
    device: str,
    dtype: torch.dtype | None,
    scaler: torch.amp.GradScaler,
    *,
    split: Callable[[Any], Sequence[Any]] | None = None,
    write: Callable[[dict[str, Tensor], float, Any], None] | None = None,
    unless: Callable[[dict[str, Tensor], Any], bool] | None = None,
) -> None:
    """Take one step of a fast-reid `SimpleTrainer` or `AMPTrainer`.

    Gradients are unscaled before the optimiser sees them, so that clipping clips what it means to.

    Args:
        trainer: holds model, optimiser and the loader's iterator.
        device: `cuda` or `cpu`.
        dtype: of autocast; None is none.
        scaler: of the loss; a disabled one does nothing.
        split: makes the parts of a batch whose gradients are averaged; by default one.
        write: is given the losses, the seconds waited for the batch, and the batch; by default fast-reid's.
        unless: is given the losses and the batch, and says whether the step is left out: then weights, buffers and
            optimiser stay as they were.
    """
    start = time.perf_counter()
    batch = next(trainer._data_loader_iter)
    waited = time.perf_counter() - start
    parts = split(batch) if split else [batch]
    trainer.optimizer.zero_grad(set_to_none=True)
    # Batch statistics are updated by the forward pass.
    before = [buffer.clone() for buffer in trainer.model.buffers()] if unless else []
    means: dict[str, Tensor] = {}
    for number, part in enumerate(parts, start=1):
        alone = number < len(parts) and isinstance(trainer.model, DistributedDataParallel)
        with trainer.model.no_sync() if alone else nullcontext():
            with torch.autocast(device, dtype=dtype, enabled=dtype is not None):
                losses = trainer.model(part)
            scaler.scale(sum(losses.values()) / len(parts)).backward()
        for name, value in losses.items():
            share = value.detach() / len(parts)
            means[name] = means[name] + share if name in means else share
    if unless and unless(means, batch):
        trainer.optimizer.zero_grad(set_to_none=True)
        for buffer, former in zip(trainer.model.buffers(), before, strict=True):
            buffer.copy_(former)
        return
    scaler.unscale_(trainer.optimizer)
    if write:
        write(means, waited, batch)
    else:
        trainer._write_metrics(means, waited)
    scaler.step(trainer.optimizer)
    scaler.update()
