"""A data loader whose processes that read images are reported when they die, stop answering or meet a bad image."""

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

# Seconds a worker still works after a SIGTERM, so that a run that was sent one can finish its step and save.
GRACE = 10.0
# Seconds after which a loader that waits for a batch looks whether all its processes live.
LOOK = 2.0


class ReportingLoader(DataLoader[Item]):
    """torch's loader; what goes wrong in its processes ends in one message.

    Args:
        timeout: seconds after which a process that gives no batch is reported; 0 waits for ever.
        workers: processes; 0 reads in this one.
        **arguments: torch's.
    """

    def __init__(self, *, timeout: float, workers: int, **arguments: Any) -> None:
        # How long a batch is waited for; torch's own `timeout` is how often somebody looks meanwhile.
        self.patience = timeout or float("inf")
        super().__init__(
            timeout=min(LOOK, self.patience) if workers else 0,
            **{**loader_arguments(workers), "worker_init_fn": _outlive_signals, **arguments},
        )

    def __iter__(self) -> Any:
        """Yield the batches.

        Raises:
            LoaderError: a process died or does not answer.
            UserError: what a process raised, without its traceback.
        """
        return self._reported(super().__iter__())

    def _reported(self, batches: Any) -> Generator[Any, None, None]:
        try:
            yield from self._patient(batches)
        except UserError as error:
            # torch puts the traceback of the process into the message.
            message = str(error).rpartition(f"{type(error).__name__}: ")[2].strip()
            raise type(error)(message) from None
        except RuntimeError as error:
            # What a worker raised itself begins with "Caught RuntimeError".
            if not str(error).startswith("DataLoader"):
                raise
            raise LoaderError(self._said(str(error), batches)) from None
        finally:
            # Left to the garbage collector, after an error it waits five seconds for each process: the queues that tell
            # them to end are collected before them.
            if hasattr(batches, "_shutdown_workers"):
                batches._shutdown_workers()

    def _patient(self, batches: Any) -> Generator[Any, None, None]:
        """Yield the batches, and wait for each longer than torch does, unless a process has died."""
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

    def _said(self, reason: str, batches: Any) -> str:
        workers = getattr(batches, "_workers", [])
        killed = [f"{w.pid} ({_cause(w)})" for w in workers if w.exitcode not in (None, 0)]
        if killed:
            what = f"{len(killed)} of {len(workers)} processes that read images died: {', '.join(killed)}"
            advice = "if it was the kernel for want of memory, lower DATALOADER.NUM_WORKERS or the batch"
            if any(w.exitcode > 0 for w in workers if w.exitcode is not None):
                advice = f"they printed why; {NEEDS_GUARD}"
        elif "timed out" in reason:
            what = f"the {len(workers)} processes that read images gave no batch for {self.patience:g} s"
            advice = "is the disk of the data set still there? DATALOADER.TIMEOUT sets how long they are waited for"
            # torch must not take their end for another failure.
            signal_handling._remove_worker_pids(id(batches))  # type: ignore[attr-defined]
            batches._worker_pids_set = False
            for worker in workers:
                worker.kill()
        else:
            what, advice = f"reading images failed: {reason.splitlines()[0]}", "DATALOADER.NUM_WORKERS 0 shows more"
        return f"{what}; {advice}"


def _cause(process: multiprocessing.Process) -> str:
    code = process.exitcode or 0
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _outlive_signals(number: int) -> None:
    """Let a worker work on after signals that are meant for the run, which ends it when it has saved."""
    if get_worker_info() is None:
        return
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def end_later(*_: object) -> None:
        timer = threading.Timer(GRACE, os._exit, (128 + signal.SIGTERM,))
        timer.daemon = True
        timer.start()

    signal.signal(signal.SIGTERM, end_later)
