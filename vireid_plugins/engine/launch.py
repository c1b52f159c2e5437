"""Start the processes of a run: a single one, one per device, on several machines, or under torchrun."""

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
from vireid_plugins.errors import ConfigError, LaunchError, UserError, first_line
from vireid_plugins.processes import begin_own, ending_with_this

# The main process scores alone, which takes longer than NCCL's default of ten minutes on the largest galleries.
TIMEOUT = timedelta(hours=2)
# Seconds that the other processes have to end after one has died, before they are killed.
GRACE = 10.0
# Where processes that torchrun starts find the address at which they meet.
ENVIRONMENT = "env://"


class ProcessInfo(NamedTuple):
    """Ranks of a process.

    Attributes:
        rank: rank among all processes.
        world: number of all processes.
        local_rank: rank among the processes of this machine.
        local_world: number of processes of this machine.
    """

    rank: int
    world: int
    local_rank: int
    local_world: int


def launch(main: Callable[[Any], Any], args: Any, cfg: CfgNode) -> Any:
    """Call `main(args)` in every process of a run.

    Under torchrun (`RANK` and `WORLD_SIZE` are set), this process joins the others. Otherwise this machine starts
    `args.num_gpus` processes, as does each of `args.num_machines` machines, and all of them meet at `args.dist_url`.
    Processes communicate over NCCL if `MODEL.DEVICE` is CUDA, else over gloo. If one dies, the others are ended.

    Returns:
        the result of `main`, or None if processes were started.

    Raises:
        ConfigError: a number of processes or the address is invalid, or there are fewer devices than processes.
        LaunchError: a process was killed.
        UserError: raised by a process.
    """
    device = cfg.MODEL.DEVICE.split(":")[0]
    if "RANK" in os.environ and "WORLD_SIZE" in os.environ:
        process = _of_torchrun(args)
        _require_devices(device, process.local_world, "--nproc-per-node")
        return _joined(main, args, process, device)
    if args.num_gpus < 1 or not 0 <= args.machine_rank < args.num_machines:
        raise ConfigError(
            f"--num-gpus {args.num_gpus} --num-machines {args.num_machines} --machine-rank {args.machine_rank}: the "
            "first two must be at least 1, and the last must be the machine's number, counted from 0"
        )
    if args.num_gpus * args.num_machines == 1:
        return main(args)
    _require_devices(device, args.num_gpus, "--num-gpus")
    if args.num_machines > 1 and args.dist_url == default_argument_parser().get_default("dist_url"):
        raise ConfigError("--dist-url: several machines need the address of the first, such as tcp://10.0.0.1:29500")
    _start(main, args, device)
    return None


def _of_torchrun(args: Any) -> ProcessInfo:
    """Return the ranks that torchrun has put into the environment.

    Raises:
        ConfigError: one is missing, they do not fit together, or the command asks for processes of its own.
    """
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    if missing := [name for name in names if not os.environ.get(name, "").isdigit()]:
        raise ConfigError(f"{', '.join(missing)}: must be set to a number, as torchrun does")
    process = ProcessInfo(*(int(os.environ[name]) for name in names))
    if not (process.rank < process.world and process.local_rank < process.local_world <= process.world):
        said = ", ".join(f"{name} {number}" for name, number in zip(names, process, strict=True))
        raise ConfigError(f"{said}: ranks must be below the numbers of processes, as torchrun sets them")
    # Other callers' arguments need not have them.
    here, machines = getattr(args, "num_gpus", 1), getattr(args, "num_machines", 1)
    if here != 1 or machines != 1:
        raise ConfigError(
            f"--num-gpus {here} --num-machines {machines}: torchrun starts the processes "
            f"({process.world}); leave both out, and give torchrun --nproc-per-node and --nnodes"
        )
    return process


def _require_devices(device: str, processes: int, flag: str) -> None:
    if device == "cuda" and torch.cuda.device_count() < processes:
        raise ConfigError(
            f"{flag} {processes}: this machine has {torch.cuda.device_count()} CUDA devices; use fewer, or set "
            "MODEL.DEVICE cpu"
        )


def _start(main: Callable[[Any], Any], args: Any, device: str) -> None:
    """Start this machine's processes and wait for them."""
    store: Any = None
    if args.num_machines == 1:
        # The system picks the port, which stays open from now on, so two runs never share one.
        store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    errors = multiprocessing.get_context("spawn").SimpleQueue()
    port = store.port if store else None
    with ending_with_this():
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


def lost_another(error: BaseException) -> bool:
    """Return whether an error means that another process of the run has ended, which then says why."""
    if isinstance(error, dist.DistBackendError | dist.DistNetworkError):
        return True
    # gloo has no type of its own.
    return isinstance(error, RuntimeError) and "gloo" in str(error) and "onnection" in str(error)


def _killed(processes: list[Any]) -> str:
    """Return a sentence on the process that a signal killed, or an empty string; SIGTERM comes from this module."""
    for rank, process in enumerate(processes):
        if process.exitcode is not None and process.exitcode < 0 and process.exitcode != -signal.SIGTERM:
            return f"process {rank} of {len(processes)} was killed by {signal.Signals(-process.exitcode).name}"
    return ""


def _worker(local_rank: int, main: Callable[[Any], Any], args: Any, device: str, port: int | None, errors: Any) -> None:
    # Before anything that waits for the other processes, or for the store of the process that started this one.
    begin_own()
    process = ProcessInfo(
        args.machine_rank * args.num_gpus + local_rank, args.num_machines * args.num_gpus, local_rank, args.num_gpus
    )
    if device == "cpu" and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // args.num_gpus))
    store = None if port is None else TCPStore("127.0.0.1", port, is_master=False)
    try:
        _joined(main, args, process, device, store, args.dist_url)
    except UserError as error:
        # No traceback, as with a single process.
        errors.put(pickle.dumps(error))
        os._exit(1)


def _joined(
    main: Callable[[Any], Any], args: Any, process: ProcessInfo, device: str, store: Any = None, url: str = ENVIRONMENT
) -> Any:
    """Join the process group, call `main(args)` and leave the group; return the result."""
    # torch warns about fast-reid's pickling, and about 1 x 1 convolutions whose gradient strides differ in form only.
    warnings.filterwarnings("ignore", message="TypedStorage is deprecated")
    warnings.filterwarnings("ignore", message="Grad strides do not match")
    if device == "cuda":
        torch.cuda.set_device(process.local_rank)
    # DistributedDataParallel needs it. If it were imported after the group exists, its functions would keep the group
    # alive as a default argument; see `_leave`.
    importlib.import_module("torch._dynamo")
    rendezvous = {"store": store} if store is not None else {"init_method": url}
    try:
        dist.init_process_group(
            "nccl" if device == "cuda" else "gloo",
            rank=process.rank,
            world_size=process.world,
            timeout=TIMEOUT,
            **rendezvous,
        )
    except (RuntimeError, ValueError) as error:
        if store is not None:
            raise
        reason = first_line(error)
        if url == ENVIRONMENT:
            place = ":".join(os.environ.get(name, "not set") for name in ("MASTER_ADDR", "MASTER_PORT"))
            raise ConfigError(
                f"MASTER_ADDR and MASTER_PORT: the processes cannot connect at {place}: {reason}. torchrun sets both"
            ) from None
        raise ConfigError(
            f"--dist-url: the processes cannot connect at '{url}': {reason}. It must be "
            "tcp://<first machine>:<free port>, the same for all"
        ) from None
    machine = process.rank // process.local_world
    for number in range(process.world // process.local_world):
        ranks = list(range(number * process.local_world, (number + 1) * process.local_world))
        group = dist.new_group(ranks)
        if number == machine:
            comm._LOCAL_PROCESS_GROUP = group
    del group
    result = main(args)
    _leave()
    return result


def _leave() -> None:
    """Leave the process group and end its communication threads.

    fast-reid holds references to its groups, which keep their threads alive. A thread that is still finishing an
    exchange when Python exits aborts the process, although its work is done.
    """
    # No process leaves while another still communicates with it.
    comm.synchronize()
    comm._LOCAL_PROCESS_GROUP = None
    comm._get_global_gloo_group.cache_clear()
    gc.collect()  # the model, in a reference cycle with its trainer, holds the group of its gradients
    dist.destroy_process_group()
