"""Functions that run in the processes of multi-device tests, which import them by name.

Run as a script, `devices.py MODULE:FUNCTION PROCESSES ARGUMENTS`, it does what `on_devices` does.
"""

import importlib
import json
import os
import signal
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from double import quick
from fastreid.modeling.meta_arch import build_model
from fastreid.utils import comm
from helpers import batch, begin_clusters, python, small_cfg, views_of
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from vireid_plugins.engine.launch import launch
from vireid_plugins.layers.sync_batch_norm import synchronize_

IDENTITIES, INSTANCES = 6, 2


def on_devices(main: Any, processes: int, **arguments: Any) -> Any:
    """Call `main(arguments)` in so many processes of this machine."""
    args = Namespace(num_gpus=processes, num_machines=1, machine_rank=0, dist_url="", **arguments)
    return launch(main, args, small_cfg())


def on_forked_devices(main: Any, processes: int, **arguments: Any) -> None:
    """As `on_devices`, in forks of a process that has imported everything; fresh ones take seconds each for that."""
    words = (f"{main.__module__}:{main.__name__}", str(processes), json.dumps(arguments))
    ran = python(__file__, *words)
    assert ran.returncode == 0, ran.stderr


def network(case: tuple[str, list[str]], frozen: bool) -> nn.Module:
    """A method at small size in double precision, without dropout, its batch norms frozen or not."""
    config, overrides = case
    torch.manual_seed(0)
    cfg = small_cfg(config, "MODEL.HEADS.NUM_CLASSES", str(IDENTITIES), "MODEL.DEEN.DROPOUT", "0.0", *overrides)
    model = build_model(cfg).double().train()
    for module in model.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd) or (
            frozen and isinstance(module, nn.modules.batchnorm._BatchNorm)
        ):
            module.eval()
    begin_clusters(model, IDENTITIES)
    return model


def whole_batch(case: tuple[str, list[str]]) -> dict[str, Any]:
    """The batch of all processes."""
    return batch(IDENTITIES, INSTANCES, views=views_of(small_cfg(case[0], *case[1])))


def share(whole: dict[str, Any], rank: int, world: int) -> dict[str, Any]:
    """The rows of one process: every `world`-th identity, as the samplers deal them out."""
    mine = [row for row, target in enumerate(whole["targets"].tolist()) if target % world == rank]
    return {key: [column[i] for i in mine] if key == "img_paths" else column[mine] for key, column in whole.items()}


def state_after_a_step(model: nn.Module, batches: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """The mean gradients of the batches, and the buffers."""
    for one in batches:
        (sum(model(one).values()) / len(batches)).backward()
    inner = model.module if isinstance(model, DistributedDataParallel) else model
    gradients = {key: p.grad for key, p in inner.named_parameters() if p.requires_grad}
    assert not [key for key, gradient in gradients.items() if gradient is None]
    norms = [(key, m) for key, m in inner.named_modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    buffers = {f"{key}.{name}": b for key, m in norms for name, b in m.named_buffers()}
    return {**gradients, **buffers}


def steps(args: Namespace) -> None:
    """Take a step of every case, with batch norms frozen or not, and keep what comes out of it in `args.folder`."""
    torch.set_num_threads(1)
    for number, (case, frozen) in enumerate(args.cases):
        model = network(case, frozen)
        model = DistributedDataParallel(model if frozen else synchronize_(model))
        with quick():
            found = state_after_a_step(model, [share(whole_batch(case), dist.get_rank(), dist.get_world_size())])
        if dist.get_rank() == 0:
            torch.save(found, Path(args.folder) / f"{number}.pt")


def meet(args: Namespace) -> None:
    """Keep in `args.folder` what this process knows of all of them, and of those on its machine."""
    everyone = comm.all_gather((comm.get_rank(), args.machine_rank))
    found = {"everyone": everyone, "here": [comm.get_local_rank(), comm.get_local_size()]}
    (Path(args.folder) / f"{comm.get_rank()}.json").write_text(json.dumps(found))


def die(args: Namespace) -> None:
    """Let the last process end in some way while the others wait for it."""
    if dist.get_rank() == dist.get_world_size() - 1:
        if args.error is None:
            os.kill(os.getpid(), signal.SIGKILL)
        raise args.error
    dist.barrier()


if __name__ == "__main__":
    module, _, function = sys.argv[1].partition(":")
    on_devices(getattr(importlib.import_module(module), function), int(sys.argv[2]), **json.loads(sys.argv[3]))
