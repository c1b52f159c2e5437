"""One message for a device or a host that is out of memory."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from fastreid.config import CfgNode

from vireid_plugins.errors import OutOfMemoryError

# How torch's allocator on the host begins its message; on a device it raises a type of its own.
_ON_HOST = "DefaultCPUAllocator"


@contextmanager
def explained(cfg: CfgNode, training: bool, last_good: Callable[[], str] = str) -> Iterator[None]:
    """Turn the errors of allocators inside a `with` block into one that says what to change.

    Args:
        cfg: the configuration.
        training: whether a training step is taken; else images are only embedded or scored.
        last_good: returns a clause that names the last checkpoint; see `VireidCheckpointer.last_good`.

    Raises:
        OutOfMemoryError: there was not enough memory.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise OutOfMemoryError(_message(cfg, training, last_good(), str(error))) from None
    except RuntimeError as error:
        if _ON_HOST not in str(error):
            raise
        raise OutOfMemoryError(_message(cfg, training, last_good(), str(error))) from None


def _message(cfg: CfgNode, training: bool, last_good: str, reason: str) -> str:
    key = "TRAIN" if training else "TEST"
    height, width = cfg.INPUT[f"SIZE_{key}"]
    batch = cfg.SOLVER.IMS_PER_BATCH if training else cfg.TEST.IMS_PER_BATCH
    shown = reason.splitlines()[0][:160] if reason else "no details"
    what = f"{cfg.MODEL.DEVICE}: out of memory ({shown}) with a batch of {batch} images of {height} x {width}"
    if not training:
        return f"{what}. Lower TEST.IMS_PER_BATCH or INPUT.SIZE_TEST"
    solver, model = cfg.SOLVER, cfg.MODEL
    return (
        f"{what}. Raise SOLVER.ACCUMULATE ({solver.ACCUMULATE}: the batch in so many parts), set "
        f"MODEL.RECOMPUTE_ACTIVATIONS True ({model.RECOMPUTE_ACTIVATIONS}), "
        f"MODEL.CHECKPOINT_STAGES True ({model.CHECKPOINT_STAGES}) or SOLVER.AMP.ENABLED True ({solver.AMP.ENABLED}), "
        f"or lower SOLVER.IMS_PER_BATCH or INPUT.SIZE_TRAIN; {last_good}"
    )
