"""What processes do together inside a forward pass, with gradients.

Shapes: `W` processes, `R` rows of one process.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from vireid_plugins.layers.processes import world_size
from vireid_plugins.modeling.loss_inputs import LossInputs


class _AllRows(torch.autograd.Function):
    """(R, ...) of each process -> (W, R, ...) on all; its gradient is the sum over the processes.

    fast-reid's `GatherLayer` keeps a process's own gradient only, which is the whole batch's divided by W.
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
    """Return the inputs of all processes, with gradient; of one process, the inputs themselves.

    Rows are in the order in which one process would have them: the samplers deal identities out one by one.

    Where each process computes the same loss on it and gradients are averaged over the processes, as
    `DistributedDataParallel` does, the gradient of a parameter is that of one process with the whole batch.

    Args:
        inputs: this process's.
        instances: K.
    """
    if world_size() == 1:
        return inputs
    block = inputs.stream_rows()[0]

    def whole(rows: Tensor) -> Tensor:
        """Bring (W, blocks, P / W, K, ...) into the order (blocks, P / W, W, K, ...)."""
        everyone: Tensor = _AllRows.apply(rows.contiguous())  # type: ignore[no-untyped-call]
        apart = everyone.view(len(everyone), -1, block // instances, instances, *rows.shape[1:])
        return apart.movedim(0, 2).reshape(-1, *rows.shape[1:])

    def on_host(column: Tensor) -> Tensor:
        return column.view(-1, block).repeat_interleave(world_size(), 0).flatten()

    return inputs.mapped(whole, on_host)
