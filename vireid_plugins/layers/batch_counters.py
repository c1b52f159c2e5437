"""Count the batches of a network's batch norms in one call, instead of one call per norm.

Every norm adds 1 to its `num_batches_tracked` in each forward pass of training: on a GPU a kernel per norm, 53 in a
ResNet-50. The values, the buffers and their names in a checkpoint are those of torch.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

BatchNorm = nn.modules.batchnorm._BatchNorm

# Norms that ran since `counted_together` was entered, each with its counter and how often it ran; None outside.
_ran: dict[nn.Module, tuple[Tensor, int]] | None = None


@contextmanager
def counted_together(network: nn.Module) -> Iterator[None]:
    """Advance the counters of all batch norms of `network` that run inside a `with` block at its end.

    Inside, the counter of a norm that has run is None, which makes torch's norms leave it out.
    """
    global _ran
    _watch(network)
    outer = _ran
    ran: dict[nn.Module, tuple[Tensor, int]] = {}
    _ran = ran
    try:
        yield
    finally:
        _ran = outer
        for norm, (counter, _) in ran.items():
            norm._buffers["num_batches_tracked"] = counter
        if ran:
            with torch.no_grad():
                torch._foreach_add_([counter for counter, _ in ran.values()], [times for _, times in ran.values()])


def _watch(network: nn.Module) -> None:
    """Hook every batch norm of a network, once; synchronized ones need their counter, and keep it."""
    if network.__dict__.get("_counters_watched"):
        return
    network.__dict__["_counters_watched"] = True
    for module in network.modules():
        if isinstance(module, BatchNorm) and not isinstance(module, nn.SyncBatchNorm):
            module.register_forward_pre_hook(_set_aside)


def _set_aside(norm: Any, inputs: object) -> None:
    """Note that a norm runs, and take its counter from it; compiled stages count by themselves.

    A momentum of 0 is that of `frozen_statistics`, in which nothing counts; None needs the counter.
    """
    if torch.compiler.is_compiling() or _ran is None or not norm.training or not norm.momentum:
        return
    known = _ran.get(norm)
    counter = known[0] if known else norm.num_batches_tracked
    if counter is not None:
        _ran[norm] = (counter, known[1] + 1 if known else 1)
        norm._buffers["num_batches_tracked"] = None
