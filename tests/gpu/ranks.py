"""Functions that run in the processes of the two-device test, which imports them by name."""

from argparse import Namespace
from pathlib import Path

import devices
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

CASE: tuple[str, list[str]] = ("SYSU/wrim.yml", ["MODEL.LOSSES.GATHER", "True"])


def step(args: Namespace) -> None:
    """Take a step on a share of the batch, and keep its gradients and the backend's name in `args.folder`."""
    rank = dist.get_rank()
    device = torch.device("cpu") if args.device == "cpu" else torch.device("cuda", rank)
    model = devices.network(CASE, frozen=True).to(device)
    together = DistributedDataParallel(model, device_ids=None if args.device == "cpu" else [rank])
    share = devices.share(devices.whole_batch(CASE), rank, dist.get_world_size())
    found = devices.state_after_a_step(together, [share])
    if rank == 0:
        found = {key: value.cpu() for key, value in found.items()}
        torch.save({"backend": dist.get_backend(), "state": found}, Path(args.folder) / "found.pt")
