"""A data loader that reports workers that die, hang, or fail on an image."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Generator
from typing import Any

from torch.utils.data import DataLoader, get_worker_info
from torch.utils.data._utils import signal_handling

from vireid_plugins.data.batch import Item
from vireid_plugins.errors import LoaderError, UserError
from vireid_plugins.processes import NEEDS_GUARD, end_with_parent, loader_arguments

# Seconds a worker keeps running after a SIGTERM, so that the run can finish its step and save a checkpoint.
GRACE = 10.0
# Seconds between checks for dead workers while waiting for a batch.
CHECK_INTERVAL = 2.0


class ReportingLoader(DataLoader[Item]):
    """torch's `DataLoader`, with one clear error for a failure in a worker.

    Args:
        timeout: seconds to wait for a batch; 0 waits forever.
        workers: number of worker processes; 0 reads in this process.
        **arguments: passed to `DataLoader`.
    """

    def __init__(self, *, timeout: float, workers: int, **arguments: Any) -> None:
        # How long to wait for a batch; torch's own `timeout` is the interval between checks.
        self.patience = timeout or float("inf")
        super().__init__(
            timeout=min(CHECK_INTERVAL, self.patience) if workers else 0,
            **{**loader_arguments(workers), "worker_init_fn": _outlive_signals, **arguments},
        )

    def __iter__(self) -> Any:
        """Yield the batches.

        Raises:
            LoaderError: a worker died or stopped responding.
            UserError: raised in a worker; re-raised without the worker's traceback.
        """
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
        """Yield the batches, waiting up to `patience` seconds for each unless a worker has died."""
        waited = 0.0
        while True:
            try:
                batch = next(batches)
            except StopIteration:
                return
            except RuntimeError as error:
                waited += self.timeout
                if "DataLoader timed out" not in str(error) or waited >= self.patience:
                    raise
            else:
                waited = 0.0
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


def _cause(process: multiprocessing.Process) -> str:
    code = process.exitcode or 0
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


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
