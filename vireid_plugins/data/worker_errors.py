"""A data loader that reports workers that die, hang, or fail on an image."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Generator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader, get_worker_info
from torch.utils.data._utils import signal_handling

from vireid_plugins.data.batch import Batch
from vireid_plugins.errors import LoaderError, UserError
from vireid_plugins.processes import NEEDS_GUARD, end_with_parent, loader_arguments

# Seconds a worker keeps running after a SIGTERM, so that the run can finish its step and save a checkpoint.
GRACE = 10.0
# Seconds between checks for dead workers while waiting for a batch.
CHECK_INTERVAL = 2.0
# Workers that use less of a processor than this are stuck; on a busy machine they get little, but more.
STUCK = 0.01
# How many times longer workers may take that are not stuck, and the seconds that they may always take to start.
BUSY, START = 10, 600.0


class ReportingLoader(DataLoader[Batch]):
    """torch's `DataLoader`, with one clear error for a failure in a worker.

    Args:
        timeout: seconds to wait for a batch; 0 waits forever.
        workers: number of worker processes; 0 reads in this process.
        **arguments: passed to `DataLoader`.
    """

    def __init__(self, *, timeout: float, workers: int, **arguments: Any) -> None:
        # How long to wait for a batch; torch's own `timeout` is the interval between checks.
        self.patience = timeout or float("inf")
        # A byte per worker, shared with them: whether it has started.
        self.started: Any = None
        self.begin = arguments.pop("worker_init_fn", _outlive_signals)
        super().__init__(
            timeout=min(CHECK_INTERVAL, self.patience) if workers else 0, **{**loader_arguments(workers), **arguments}
        )

    def __iter__(self) -> Any:
        """Yield the batches.

        Raises:
            LoaderError: a worker died or stopped responding.
            UserError: raised in a worker; re-raised without the worker's traceback.
        """
        if self.num_workers:
            context: Any = self.multiprocessing_context
            self.started = context.RawArray("b", self.num_workers)
            self.worker_init_fn = partial(_begin, self.started, self.begin)
        return self._reported(super().__iter__())

    def _reported(self, batches: Any) -> Generator[Any, None, None]:
        try:
            yield from self._patient(batches)
        except UserError as error:
            # torch prepends the worker's traceback to the message.
            message = str(error.args[0]).rpartition(f"{type(error).__name__}: ")[2].strip()
            raise type(error)(*message.split("\n")) from None
        except RuntimeError as error:
            # The message of an error raised in a worker begins with "Caught RuntimeError".
            if not str(error).startswith("DataLoader"):
                raise
            raise LoaderError(self._diagnosis(str(error), batches)) from None
        finally:
            # Shut down by the garbage collector after an error, each worker would take five seconds: the queues that
            # signal it to exit may be collected first.
            if hasattr(batches, "_shutdown_workers"):
                batches._shutdown_workers()

    def _patient(self, batches: Any) -> Generator[Any, None, None]:
        """Yield the batches, waiting for each unless a worker has died.

        Workers that start or use the processor are slow and not stuck; for them `patience` begins again.
        """
        watch = _Watch(getattr(batches, "_workers", []), self.started)
        while True:
            watch.reset()
            while True:
                try:
                    batch = next(batches)
                    break
                except StopIteration:
                    return
                except RuntimeError as error:
                    if "DataLoader timed out" not in str(error) or watch.over(self.patience):
                        raise
            yield batch

    def _diagnosis(self, reason: str, batches: Any) -> str:
        """Return the error message; kills workers that have timed out."""
        workers = getattr(batches, "_workers", [])
        dead = [f"{w.pid} ({_cause(w)})" for w in workers if w.exitcode not in (None, 0)]
        if dead:
            failure = f"{len(dead)} of {len(workers)} data-loader workers died: {', '.join(dead)}"
            advice = "if the kernel killed them for lack of memory, lower DATALOADER.NUM_WORKERS or the batch size"
            if any(w.exitcode > 0 for w in workers if w.exitcode is not None):
                advice = f"see their output above; {NEEDS_GUARD}"
        elif "timed out" in reason:
            failure = f"the {len(workers)} data-loader workers returned no batch for {self.patience:g} s"
            if self.started is not None and not all(self.started):
                failure = f"{list(self.started).count(0)} of {len(workers)} data-loader workers did not start"
            advice = "check that the disk of the data set is still available, or raise DATALOADER.TIMEOUT"
            # Keeps torch from reporting their exit as another failure.
            signal_handling._remove_worker_pids(id(batches))  # type: ignore[attr-defined]
            batches._worker_pids_set = False
            for worker in workers:
                worker.kill()
        else:
            failure = f"reading images failed: {reason.splitlines()[0]}"
            advice = "run with DATALOADER.NUM_WORKERS 0 for the full traceback"
        return f"{failure}; {advice}"


class _Watch:
    """Tells workers that are slow from workers that are stuck, while this process waits for a batch.

    Args:
        workers: the processes.
        started: for each worker whether it has started; None without workers.
    """

    def __init__(self, workers: Sequence[multiprocessing.Process], started: Any) -> None:
        self.workers, self.started = workers, started
        self.reset()

    def reset(self) -> None:
        """Begin to wait for a batch."""
        self.begin = self.since = time.monotonic()
        self.used = _processor_seconds(self.workers)

    def over(self, patience: float) -> bool:
        """Return whether the workers have been stuck for `patience` seconds, or slow for far longer."""
        now = time.monotonic()
        if self.starting():
            self.since = now
            return now - self.begin >= max(START, BUSY * patience)
        used = _processor_seconds(self.workers)
        if used - self.used > STUCK * patience:
            self.used, self.since = used, now
        return now - self.since >= patience or now - self.begin >= BUSY * patience

    def starting(self) -> bool:
        """Return whether a worker has not started yet."""
        return self.started is not None and not all(self.started)


def _processor_seconds(workers: Sequence[multiprocessing.Process]) -> float:
    """Return the processor time that running workers have used, or 0 where the system does not tell."""
    ticks = 0
    for worker in workers:
        try:
            # After the name, which may contain anything: state is field 3, user and system time 14 and 15.
            fields = Path(f"/proc/{worker.pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2]
            ticks += sum(map(int, fields.split()[11:13]))
        except (OSError, ValueError):
            continue
    return ticks / os.sysconf("SC_CLK_TCK") if ticks else 0.0


def _cause(process: multiprocessing.Process) -> str:
    code = process.exitcode or 0
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _begin(started: Any, begin: Any, number: int) -> None:
    """Begin a worker: call `begin`, then report that it has started."""
    begin(number)
    started[number] = 1


def _outlive_signals(number: int) -> None:
    """Keep a worker running through signals meant for the run, which stops its workers after saving a checkpoint."""
    if get_worker_info() is None:
        return
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def exit_later(*_: object) -> None:
        timer = threading.Timer(GRACE, os._exit, (128 + signal.SIGTERM,))
        timer.daemon = True
        timer.start()

    signal.signal(signal.SIGTERM, exit_later)
