"""Repairs of fast-reid's training on several devices."""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from fastreid.engine import defaults
from fastreid.utils import comm
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from vireid_plugins.compat.patches.registry import Replacement, register_patch


def _wrapped(model: nn.Module, device_ids: list[int], **arguments: Any) -> DistributedDataParallel:
    on_cuda = next(model.parameters()).is_cuda
    with warnings.catch_warnings():
        # The argument `broadcast_buffers`, which fast-reid passes, has a new name in newer torch.
        warnings.simplefilter("ignore", FutureWarning)
        return DistributedDataParallel(model, device_ids=device_ids if on_cuda else None, **arguments)


@register_patch(
    "a model on a CPU cannot be wrapped in DistributedDataParallel, since device_ids are passed",
    "they are passed for a model on CUDA only",
)
def ddp() -> list[Replacement]:
    """`fastreid/engine/defaults.py`, in `DefaultTrainer.__init__`."""
    return [Replacement(defaults, "DistributedDataParallel", _wrapped)]


def broadcast_buffers(model: nn.Module) -> None:
    """Give every process the buffers of the first one."""
    if comm.get_world_size() > 1:
        for buffer in model.buffers():
            torch.distributed.broadcast(buffer, src=0)


def _with_equal_buffers(evaluate: Callable[..., Any]) -> Callable[..., Any]:
    def evaluated(model: nn.Module, *rest: Any, **named: Any) -> Any:
        broadcast_buffers(model)
        return evaluate(model, *rest, **named)

    return evaluated


@register_patch(
    "with several processes each extracts its share of the features with batch statistics of its own",
    "the first process's statistics are sent to all before an evaluation",
)
def buffers() -> list[Replacement]:
    """`fastreid/engine/defaults.py`: `DistributedDataParallel(broadcast_buffers=False)`, `DefaultTrainer.test`."""
    return [Replacement(defaults, "inference_on_dataset", _with_equal_buffers(defaults.inference_on_dataset))]
