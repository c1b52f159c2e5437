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
    write: Callable[[dict[str, Tensor], float], None] | None = None,
) -> None:
    """Take one step of a fast-reid `SimpleTrainer` or `AMPTrainer`.

    Gradients are unscaled before the optimiser sees them, so that clipping clips what it means to.

    Args:
        trainer: holds model, optimiser and the loader's iterator.
        device: `cuda` or `cpu`.
        dtype: of autocast; None is none.
        scaler: of the loss; a disabled one does nothing.
        split: makes the parts of a batch whose gradients are averaged; by default one.
        write: is given the losses and the seconds waited for the batch; by default fast-reid's.
    """
    start = time.perf_counter()
    batch = next(trainer._data_loader_iter)
    waited = time.perf_counter() - start
    parts = split(batch) if split else [batch]
    trainer.optimizer.zero_grad(set_to_none=True)
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
    scaler.unscale_(trainer.optimizer)
    (write or trainer._write_metrics)(means, waited)
    scaler.step(trainer.optimizer)
    scaler.update()
