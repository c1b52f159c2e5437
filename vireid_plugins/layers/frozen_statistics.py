"""Run batch norms in training mode without updating their running statistics."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

BatchNorm = nn.modules.batchnorm._BatchNorm


@contextmanager
def frozen_statistics(module: nn.Module) -> Iterator[None]:
    """Leave the running statistics of every batch norm in `module` as they are inside a `with` block."""
    moving = [
        (norm, norm.momentum, norm.num_batches_tracked)
        for norm in module.modules()
        if isinstance(norm, BatchNorm) and norm.training and norm.num_batches_tracked is not None
    ]
    for norm, _, _ in moving:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum, seen in moving:
            norm.momentum = momentum
            seen.sub_(1)
