"""Two processes, each with a device, compute the gradients of one."""

from argparse import Namespace
from pathlib import Path

import devices
import pytest
import torch
from gpu import ranks
from helpers import small_cfg
from near import assert_near
from on_device import CUDA, DEVICE

from vireid_plugins.engine.launch import launch

pytestmark = pytest.mark.gpu
BACKEND = "nccl" if CUDA else "gloo"


@pytest.mark.skipif(CUDA and torch.cuda.device_count() < 2, reason="NCCL with two ranks needs two CUDA devices")
def test_step_of_two_ranks_has_the_gradient_of_one_process(tmp_path: Path) -> None:
    args = Namespace(num_gpus=2, num_machines=1, machine_rank=0, dist_url="", folder=str(tmp_path), device=DEVICE)
    launch(ranks.step, args, small_cfg("SYSU/wrim.yml", "MODEL.DEVICE", DEVICE))
    found = torch.load(tmp_path / "found.pt")
    assert found["backend"] == BACKEND
    alone = devices.network(ranks.CASE, frozen=True).to(DEVICE)
    assert_near(found["state"], devices.state_after_a_step(alone, [devices.whole_batch(ranks.CASE)]))
