"""Starts the processes of a run and joins them: one, one a device of this machine, several machines, or torchrun."""

import gc
import importlib
import os
import pickle
import signal
import warnings
from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from fastreid.config import CfgNode
from fastreid.engine import default_argument_parser
from fastreid.utils import comm
from torch import multiprocessing
from torch.distributed import TCPStore  # type: ignore[attr-defined]
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException, start_processes

from vireid_plugins.engine.hooks.stop_on_signal import forwarded_signals
from vireid_plugins.errors import ConfigError, LaunchError, UserError

# The main process scores alone, which on the largest galleries takes longer than NCCL's ten minutes of patience.
TIMEOUT = timedelta(hours=2)
# How long the other processes may take to end when one has died, before they are killed.
GRACE = 10.0


class ProcessInfo(NamedTuple):
    """Ranks of a process.

    Attributes:
        rank: its number among all processes.
        world: number of all processes.
        local_rank: its number among the processes of this machine.
        local_world: number of the processes of this machine.
    """

    rank: int
    world: int
    local_rank: int
    local_world: int


def launch(main: Callable[[Any], Any], args: Any, cfg: CfgNode) -> Any:
    """Call `main(args)` in every process of a run.

    Under torchrun (its `RANK` and `WORLD_SIZE` are set) this process joins the others. Otherwise `args.num_gpus`
    processes are started here, as part of `args.num_machines` times as many, which meet at `args.dist_url`. Processes
    talk over NCCL where `MODEL.DEVICE` is CUDA, else over gloo. When one of them dies, the others are ended.

    Returns:
        what `main` returns; None where other processes were started.

    Raises:
        ConfigError: the numbers or the address are wrong, or there are fewer devices than processes.
        LaunchError: a process was killed.
        UserError: what a process raised.
    """
    device = cfg.MODEL.DEVICE.split(":")[0]
    if "RANK" in os.environ and "WORLD_SIZE" in os.environ:
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
        if missing := [name for name in names if not os.environ.get(name, "").isdigit()]:
            raise ConfigError(f"{', '.join(missing)}: not set to a number, as torchrun sets them beside RANK")
        here = ProcessInfo(*(int(os.environ[name]) for name in names))
        _require_devices(device, here.local_world)
        return _joined(main, args, here, device)
    if args.num_gpus < 1 or not 0 <= args.machine_rank < args.num_machines:
        raise ConfigError(
            f"--num-gpus {args.num_gpus} --num-machines {args.num_machines} --machine-rank {args.machine_rank}: the "
            "first two are at least 1, and the last counts the machines from 0"
        )
    if args.num_gpus * args.num_machines == 1:
        return main(args)
    _require_devices(device, args.num_gpus)
    if args.num_machines > 1 and args.dist_url == default_argument_parser().get_default("dist_url"):
        raise ConfigError("--dist-url: several machines need the address of the first, as in tcp://10.0.0.1:29500")
    _start(main, args, device)
    return None


def _require_devices(device: str, processes: int) -> None:
    if device == "cuda" and torch.cuda.device_count() < processes:
        raise ConfigError(
            f"--num-gpus {processes}: this machine has {torch.cuda.device_count()} CUDA devices; ask for fewer, or set "
            "MODEL.DEVICE cpu for processes that talk over gloo"
        )


def _start(main: Callable[[Any], Any], args: Any, device: str) -> None:
    """Start this machine's processes and wait for them."""
    meeting: Any = None
    if args.num_machines == 1:
        # The port is the system's choice and stays open from here on, so that no two runs meet.
        meeting = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    errors = multiprocessing.get_context("spawn").SimpleQueue()
    port = meeting.port if meeting else None
    context: Any = start_processes(_worker, (main, args, device, port, errors), nprocs=args.num_gpus, join=False)
    try:
        with forwarded_signals():
            while not context.join(grace_period=GRACE):
                pass
    except (ProcessExitedException, ProcessRaisedException):
        if not errors.empty():
            raise pickle.loads(errors.get()) from None
        if lost := _killed(context.processes):
            raise LaunchError(f"{lost}; the other processes were ended") from None
        raise
    finally:
        for process in context.processes:
            process.kill()


def _killed(processes: list[Any]) -> str:
    """Name the process that a signal other than our own ended, empty if there is none."""
    for rank, process in enumerate(processes):
        if process.exitcode is not None and process.exitcode < 0 and process.exitcode != -signal.SIGTERM:
            return f"process {rank} of {len(processes)} was killed by {signal.Signals(-process.exitcode).name}"
    return ""


def _worker(local_rank: int, main: Callable[[Any], Any], args: Any, device: str, port: int | None, errors: Any) -> None:
    here = ProcessInfo(
        args.machine_rank * args.num_gpus + local_rank, args.num_machines * args.num_gpus, local_rank, args.num_gpus
    )
    if device == "cpu" and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // args.num_gpus))
    store = None if port is None else TCPStore("127.0.0.1", port, is_master=False)
    try:
        _joined(main, args, here, device, store, args.dist_url)
    except UserError as error:
        # Without a traceback, as from a single process.
        errors.put(pickle.dumps(error))
        os._exit(1)


def _joined(
    main: Callable[[Any], Any], args: Any, here: ProcessInfo, device: str, store: Any = None, url: str = "env://"
) -> Any:
    """Join the other processes, call `main(args)` and leave them."""
    # Of torch about fast-reid's pickling, and about gradients of 1 x 1 convolutions whose layouts only differ in name.
    warnings.filterwarnings("ignore", message="TypedStorage is deprecated")
    warnings.filterwarnings("ignore", message="Grad strides do not match")
    if device == "cuda":
        torch.cuda.set_device(here.local_rank)
    # DistributedDataParallel needs it. Imported once the processes have met, its functions keep their group for good,
    # as defaults of their arguments; see `_leave`.
    importlib.import_module("torch._dynamo")
    where = {"store": store} if store is not None else {"init_method": url}
    try:
        dist.init_process_group(
            "nccl" if device == "cuda" else "gloo", rank=here.rank, world_size=here.world, timeout=TIMEOUT, **where
        )
    except (RuntimeError, ValueError) as error:
        if store is not None:
            raise
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"--dist-url: {url}: the processes cannot meet there: {reason}. It must be "
            "tcp://<first machine>:<free port>, the same for all"
        ) from None
    machine = here.rank // here.local_world
    for number in range(here.world // here.local_world):
        ranks = list(range(number * here.local_world, (number + 1) * here.local_world))
        group = dist.new_group(ranks)
        if number == machine:
            comm._LOCAL_PROCESS_GROUP = group
    del group
    result = main(args)
    _leave()
    return result


def _leave() -> None:
    """Leave the other processes, and end the threads that talked to them.

    fast-reid keeps the groups that it talks over, and a kept group keeps its threads. One that is still at the end of
    an exchange while Python ends aborts the process, whose work was done.
    """
    # Nobody leaves while another still talks to it.
    comm.synchronize()
    comm._LOCAL_PROCESS_GROUP = None
    comm._get_global_gloo_group.cache_clear()
    gc.collect()  # the model, in a circle with its trainer, keeps the group of its gradients
    dist.destroy_process_group()
