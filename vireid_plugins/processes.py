"""Start processes that end with this one: workers that read or write images, trainings of their own."""

import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing import forkserver, util
from multiprocessing.context import BaseContext
from typing import Any, TypeVar

from vireid_plugins.errors import LoaderError
from vireid_plugins.io.output import tolerant_streams

# Environment variables that set the sizes of the thread pools of numpy's and torch's libraries.
POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
# Of Linux's prctl: the signal that a process gets when its parent ends.
PR_SET_PDEATHSIG = 1
# The first words of a fresh interpreter; its parent may have died before.
_EARLY = f"import ctypes, os; ctypes.CDLL(None).prctl({PR_SET_PDEATHSIG}, 9); os.getppid() == {{parent}} or os._exit(1)"
NEEDS_GUARD = 'worker processes import your script, so its work must be inside `if __name__ == "__main__":`'
# Whether `begin_own` was called.
_own = False
Job = TypeVar("Job")
Result = TypeVar("Result")


def context() -> BaseContext:
    """Return the multiprocessing context: a fork server, or spawn on platforms without fork.

    This process already runs torch's threads, and a fork of a multi-threaded process can deadlock (Python 3.12 and
    later warn about it). Arguments are pickled, and the user's script needs `if __name__ == "__main__":`.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    server = multiprocessing.get_context("forkserver")
    # Its forks share these imports. Preloading and the environment only affect a server that has not started yet.
    server.set_forkserver_preload(["vireid_plugins.fork_server"])
    with _one_thread(), ending_with_this():
        forkserver.ensure_running()
    return server


@contextmanager
def _one_thread() -> Iterator[None]:
    """Limit numpy and torch to one thread in processes that are started inside a `with` block."""
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


@contextmanager
def ending_with_this() -> Iterator[None]:
    """Let Linux end fresh interpreters that are started inside a `with` block with this thread, from the start on.

    They import for seconds before `end_with_parent` can run. The fork server takes it back after its imports, since it
    may outlive the thread that needed it first (see `vireid_plugins.fork_server`).
    """
    starting: Any = util
    former = starting.spawnv_passfds

    def start(path: Any, words: Sequence[str], handles: Any) -> int:
        words = list(words)
        # The resource tracker is the one to outlive the others: it cleans up behind them.
        if "-c" in words and "resource_tracker" not in words[words.index("-c") + 1]:
            words[words.index("-c") + 1] = f"{_EARLY.format(parent=os.getpid())}; {words[words.index('-c') + 1]}"
        pid: int = former(path, words, handles)
        return pid

    if sys.platform == "linux":
        starting.spawnv_passfds = start
    try:
        yield
    finally:
        starting.spawnv_passfds = former


def end_with_parent(*_: object) -> None:
    """Exit this process when the one that requested it dies, for whatever reason, and whatever this one is doing.

    A thread waits for that process. Linux also ends this one with its parent in the system, which for a worker is the
    fork server: no code here has to run for that.
    """
    if (parent := multiprocessing.parent_process()) is None:
        return
    signal_at_parents_end(signal.SIGKILL)

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def in_processes(
    function: Callable[[Job], Result], jobs: Sequence[Job], workers: int, chunk: int = 1
) -> Iterator[Result]:
    """Yield `function(job)` for every job, in order.

    Args:
        function: defined at module level, so that it can be pickled.
        jobs: its arguments, one per call.
        workers: number of processes; 1 runs everything in this process.
        chunk: jobs sent to a process at a time; up to this many jobs run in this process, which is faster.

    Raises:
        LoaderError: a process died.
    """
    if workers == 1 or len(jobs) <= chunk:
        yield from map(function, jobs)
        return
    try:
        with ProcessPoolExecutor(workers, mp_context=context(), initializer=end_with_parent) as pool:
            # A script without the guard ends its first worker. Were others started meanwhile, their errors would follow
            # ours, and Python's thread that ends them can fail, as it counts them.
            pool.submit(int).result()
            yield from _submitted(pool, function, jobs, chunk)
    except BrokenProcessPool:
        raise LoaderError(f"one of {workers} worker processes died; see its output above; {NEEDS_GUARD}") from None


def _submitted(
    pool: ProcessPoolExecutor, function: Callable[[Job], Result], jobs: Sequence[Job], chunk: int
) -> Iterator[Result]:
    """Return the results to come.

    Raises:
        BrokenProcessPool: a process died while the next was started, which Python tells in several ways.
    """
    try:
        return pool.map(function, jobs, chunksize=chunk)
    except (EOFError, ConnectionError) as error:
        raise BrokenProcessPool from error
    except OSError as error:
        # "handle is closed" has no number; that no process can be started has one.
        if error.errno is not None:
            raise
        raise BrokenProcessPool from error


def signal_at_parents_end(number: int) -> None:
    """Ask Linux for a signal when this process's parent ends; 0 takes it back."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)


def begin_own() -> None:
    """Start a process with a training of its own: it ends with this one, and prints as a command does."""
    global _own
    _own = True
    end_with_parent()
    tolerant_streams()


def started_as_own() -> bool:
    """Return whether this process was started by another of this package, for a training of its own."""
    return _own


def start_command(words: Sequence[str], output: int, env: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    """Start `vireid WORDS` in a fresh interpreter that Linux ends with the thread that calls this.

    It has a session of its own: a Ctrl-C at the terminal reaches this process alone, which has to pass it on.

    Args:
        words: verb and arguments.
        output: descriptor that standard output and error go to.
        env: the environment.
    """
    early = f"{_EARLY.format(parent=os.getpid())}; " if sys.platform == "linux" else ""
    code = f"{early}import vireid_command; vireid_command.main()"
    # Not `-m vireid_plugins`, whose import takes seconds before the first line that can be ours.
    return subprocess.Popen(
        [sys.executable, "-c", code, *words],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=dict(env),
        start_new_session=True,
    )


def loader_arguments(workers: int) -> dict[str, Any]:
    """Return the arguments of a `DataLoader` with this number of worker processes."""
    return {
        "num_workers": workers,
        "multiprocessing_context": context() if workers else None,
        "worker_init_fn": end_with_parent,
    }
