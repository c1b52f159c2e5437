"""Between two writes of the metrics, a run reads no value of a tensor, loader and hooks included.

On CUDA the host would wait there. `tests/gpu/test_synchronization.py` tells tensors of the device from those of the
host, such as modalities, by which a batch is routed with `bincount` and `equal`.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import small_cfg
from torch.utils._python_dispatch import TorchDispatchMode

from vireid_plugins.engine import Trainer

ATEN = torch.ops.aten
# A value that becomes a number of Python, and shapes that depend on values.
READS = {
    ATEN._local_scalar_dense.default,
    ATEN.is_nonzero.default,
    ATEN.nonzero.default,
    ATEN.masked_select.default,
    ATEN._unique2.default,
    ATEN.unique_consecutive.default,
    ATEN.unique_dim.default,
    ATEN.repeat_interleave.Tensor,
}
# With a mask as index, these find its nonzero entries first.
INDEXED = {ATEN.index.Tensor, ATEN.index_put.default, ATEN.index_put_.default, ATEN._index_put_impl_.default}


class HostReads(TorchDispatchMode):
    """Counts what waits for a value, by the iteration of a trainer."""

    def __init__(self) -> None:
        super().__init__()
        self.trainer: Any = None
        self.found: Counter[int] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        masked = func in INDEXED and any(one is not None and one.dtype in (torch.bool, torch.uint8) for one in args[1])
        if func in READS or masked:
            self.found[self.trainer.iter if self.trainer else -1] += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.usefixtures("little_root")
@pytest.mark.parametrize("method", ["agw", "wrim"])
def test_train_reads_values_only_where_metrics_are_written(method: str, tmp_path: Path) -> None:
    """SGD and Adam, fused; two epochs, each of which ends with a write."""
    keys = ["OUTPUT_DIR", str(tmp_path), "SOLVER.MAX_EPOCH", "2", "SOLVER.METRICS_PERIOD", "100"]
    keys += ["TEST.EVAL_PERIOD", "2", "SOLVER.CHECKPOINT_PERIOD", "2"]
    trainer = Trainer(small_cfg(f"SYSU/{method}.yml", *keys))
    each = trainer.iters_per_epoch
    assert each >= 3
    with HostReads() as reads:
        reads.trainer = trainer
        trainer.train()
    # The first step writes, and the last of each epoch; a loader of torch draws a seed at the start of an epoch.
    allowed = {0, each - 1, each, 2 * each - 1}
    assert {number for number in reads.found if number < 2 * each} <= allowed, reads.found
    assert reads.found[each] == 1
    assert reads.found[0] > 0


@pytest.mark.parametrize(
    "read",
    [
        lambda x: x.sum().item(),
        lambda x: bool(x.any()),
        lambda x: x[x > 0],
        lambda x: x.unique(),
        lambda x: x.nonzero(),
        lambda x: x.__setitem__(x > 0, torch.ones(2)),
    ],
)
def test_host_reads_sees_a_read(read: Any) -> None:
    with HostReads() as reads:
        read(torch.tensor([1.0, 2.0, -1.0]))
    assert reads.found[-1] > 0


def test_host_reads_of_plain_operations_are_none() -> None:
    with HostReads() as reads:
        x = torch.rand(4)
        torch.where(x > 0, x, 0)[torch.tensor([1, 2])].sum()
    assert not reads.found
