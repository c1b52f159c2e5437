from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from fastreid.engine import defaults
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from vireid_plugins.compat import patch_ddp


@pytest.fixture
def _group(tmp_path: Path):
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("_group")
def test_a_model_on_the_cpu_is_wrapped_only_with_the_patch() -> None:
    model = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="device_ids"):
        DistributedDataParallel(model, device_ids=[0], broadcast_buffers=False)
    patch_ddp()
    patch_ddp()
    wrapped = defaults.DistributedDataParallel(model, device_ids=[0], broadcast_buffers=False)
    assert isinstance(wrapped, DistributedDataParallel)
    assert wrapped(torch.ones(1, 2)).shape == (1, 2)
