"""One training step in mixed precision."""

import time
from typing import Any

import torch


def take_step(trainer: Any, device: str, dtype: torch.dtype | None, scaler: torch.amp.GradScaler) -> None:
    """Take one step of a fast-reid `SimpleTrainer` or `AMPTrainer`.

    Gradients are unscaled before the optimiser sees them, so that clipping clips what it means to.

    Args:
        trainer: holds model, optimiser and the loader's iterator.
        device: `cuda` or `cpu`.
        dtype: of autocast; None is none.
        scaler: of the loss; a disabled one does nothing.
    """
    start = time.perf_counter()
    batch = next(trainer._data_loader_iter)
    waited = time.perf_counter() - start
    with torch.autocast(device, dtype=dtype, enabled=dtype is not None):
        losses = trainer.model(batch)
    trainer.optimizer.zero_grad(set_to_none=True)
    scaler.scale(sum(losses.values())).backward()
    scaler.unscale_(trainer.optimizer)
    trainer._write_metrics(losses, waited)
    scaler.step(trainer.optimizer)
    scaler.update()
