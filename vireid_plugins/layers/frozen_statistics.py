"""Run batch norms in training mode without updating their running statistics."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

BatchNorm = nn.modules.batchnorm._BatchNorm


@contextmanager
def frozen_statistics(module: nn.Module) -> Iterator[None]:
    """Leave the running statistics of every batch norm in `module` unchanged inside a `with` block."""
    updating = [
        (norm, norm.momentum, norm.num_batches_tracked)
        for norm in module.modules()
        if isinstance(norm, BatchNorm) and norm.training and norm.track_running_stats
    ]
    for norm, _, _ in updating:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum, batches_tracked in updating:
            norm.momentum = momentum
            # None inside `counted_together`, which leaves these norms out.
            if batches_tracked is not None:
                batches_tracked.sub_(1)
