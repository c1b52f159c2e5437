"""How processes that read or write images are started."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import forkserver
from multiprocessing.context import BaseContext
from typing import Any, TypeVar

from vireid_plugins.errors import LoaderError

# How many threads the pools of numpy's and torch's libraries have.
POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
# What everybody meets who does not know that processes import the script that starts them.
NEEDS_GUARD = 'a script of your own must do its work below `if __name__ == "__main__":`, since they import it'
Given = TypeVar("Given")
Made = TypeVar("Made")


def context() -> BaseContext:
    """Return how processes are started: from a server that has one thread, or afresh where there is no fork.

    By then this process has several threads, of torch at least, and a fork of it may never end, which Python 3.12 and
    later warn of. What is handed over is pickled, and a script of your own needs `if __name__ == "__main__":`.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    server = multiprocessing.get_context("forkserver")
    # What it imports is shared by all that it forks. Both hold for a server that is not started yet.
    server.set_forkserver_preload(["vireid_plugins.fork_server"])
    with _one_thread():
        forkserver.ensure_running()
    return server


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keep numpy and torch, where a process that is started here imports them, from starting threads."""
    before = {name: os.environ.get(name) for name in POOLS}
    os.environ.update(dict.fromkeys(POOLS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def end_with_parent(*_: object) -> None:
    """End this process when the one that asked for it has died, however it died.

    Its parent is the server, which lives as long as one of its processes does.
    """
    if (parent := multiprocessing.parent_process()) is None:
        return

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def in_processes(
    function: Callable[[Given], Made], jobs: Sequence[Given], workers: int, chunk: int = 1
) -> Iterator[Made]:
    """Yield `function` of every job, in order.

    Args:
        function: one that a module defines, so that it can be pickled.
        jobs: what it is called with.
        workers: processes; with one it is called in this process.
        chunk: jobs that a process gets at a time; no more than these are done in this process, which is quicker.

    Raises:
        LoaderError: a process died.
    """
    if workers == 1 or len(jobs) <= chunk:
        yield from map(function, jobs)
        return
    try:
        with ProcessPoolExecutor(workers, mp_context=context(), initializer=end_with_parent) as pool:
            yield from pool.map(function, jobs, chunksize=chunk)
    except BrokenProcessPool:
        raise LoaderError(f"one of {workers} processes died; if it said why, it is above; {NEEDS_GUARD}") from None


def loader_arguments(workers: int) -> dict[str, Any]:
    """Return the arguments of a `DataLoader` with so many processes."""
    return {
        "num_workers": workers,
        "multiprocessing_context": context() if workers else None,
        "worker_init_fn": end_with_parent,
    }
