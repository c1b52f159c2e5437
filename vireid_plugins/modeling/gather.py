"""Gather the inputs of the losses from all processes, with gradients.

Shapes: `W` processes, `R` rows of one process.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from vireid_plugins.layers.processes import world_size
from vireid_plugins.modeling.loss_inputs import LossInputs


class _AllRows(torch.autograd.Function):
    """(R, ...) of each process -> (W, R, ...) on all; the gradient is summed over the processes.

    fast-reid's `GatherLayer` keeps only a process's own gradient, which is that of the whole batch divided by W.
    """

    @staticmethod
    def forward(context: Any, rows: Tensor) -> Tensor:
        parts = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, rows)
        return torch.stack(parts)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        summed = gradients[0].contiguous()
        dist.all_reduce(summed)
        return summed[dist.get_rank()]


def gathered(inputs: LossInputs, instances: int) -> LossInputs:
    """Return the inputs of all processes, with gradients; with a single process, the inputs themselves.

    Rows have the order of a single process: the samplers deal out identities to the processes one by one.

    If each process computes the same loss on them and gradients are averaged over the processes, as
    `DistributedDataParallel` does, the gradient of a parameter is that of one process with the whole batch.

    Args:
        inputs: inputs of this process.
        instances: K.
    """
    if world_size() == 1:
        return inputs
    block = inputs.stream_rows()[0]

    def whole(rows: Tensor) -> Tensor:
        """Gather rows and reorder them from (W, blocks, P / W, K, ...) to (blocks, P / W, W, K, ...)."""
        stacked: Tensor = _AllRows.apply(rows.contiguous())  # type: ignore[no-untyped-call]
        split = stacked.view(len(stacked), -1, block // instances, instances, *rows.shape[1:])
        return split.movedim(0, 2).reshape(-1, *rows.shape[1:])

    def on_host(column: Tensor) -> Tensor:
        return column.view(-1, block).repeat_interleave(world_size(), 0).flatten()

    return inputs.mapped(whole, on_host)
