"""Lets fast-reid's trainer wrap a model in DistributedDataParallel on a CPU.

`fastreid/engine/defaults.py` passes `device_ids=[local rank]`, which torch refuses for a model on a CPU. The name in
that one module is replaced; on a CUDA device the call goes through as it was.
"""

import importlib
import warnings
from typing import Any

from torch import nn
from torch.nn.parallel import DistributedDataParallel


def _ddp(model: nn.Module, device_ids: list[int], **kwargs: Any) -> DistributedDataParallel:
    on_cuda = next(model.parameters()).is_cuda
    with warnings.catch_warnings():
        # The argument `broadcast_buffers`, which fast-reid passes, has a new name in newer torch.
        warnings.simplefilter("ignore", FutureWarning)
        return DistributedDataParallel(model, device_ids=device_ids if on_cuda else None, **kwargs)


def patch_ddp() -> None:
    """Replace `fastreid.engine.defaults.DistributedDataParallel`. Idempotent."""
    # Imported here: this module is loaded before fastreid is known to be importable.
    defaults: Any = importlib.import_module("fastreid.engine.defaults")
    defaults.DistributedDataParallel = _ddp
