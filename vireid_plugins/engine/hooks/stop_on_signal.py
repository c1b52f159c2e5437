"""Stop a run on a signal: it finishes its step, saves and ends; a second signal ends it immediately."""

import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from fastreid.engine.train_loop import HookBase
from fastreid.utils import comm

from vireid_plugins.errors import StoppedError
from vireid_plugins.processes import started_as_own

logger = logging.getLogger("fastreid." + __name__)
SIGNALS = (signal.SIGTERM, signal.SIGINT)
# A second signal within this many seconds is ignored: terminal and parent process may both send the same one.
REPEAT = 1.0


@contextmanager
def forwarded_signals() -> Iterator[None]:
    """Forward signals to child processes inside a `with` block in which this process waits for them.

    Ctrl-C reaches the children twice, from the terminal and from here, and on a busy machine seconds apart. So only
    this process counts, see `counts_here`: the first signal is forwarded, and a second one ends the children and then
    this process.
    """
    since = 0.0

    def forward(number: int, frame: object) -> None:
        nonlocal since
        children = multiprocessing.active_children()
        if not since:
            since = time.monotonic()
            for process in children:
                if process.pid is not None:
                    os.kill(process.pid, number)
        elif time.monotonic() - since > REPEAT:
            for process in children:
                process.kill()
            for each, handler in former.items():
                signal.signal(each, handler)
            os.kill(os.getpid(), number)

    in_main_thread = threading.current_thread() is threading.main_thread()
    former = {number: signal.signal(number, forward) for number in SIGNALS} if in_main_thread else {}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def counts_here() -> bool:
    """Return whether a second signal to this process means a second one of the user.

    Otherwise the process that started this one forwards signals and ends this one if need be: `forwarded_signals`, or
    torchrun.
    """
    return not started_as_own() and "TORCHELASTIC_RUN_ID" not in os.environ


class StopOnSignal(HookBase):
    """Ends a run on SIGTERM or SIGINT after the current step.

    Several processes must agree on the step, so they compare their signals every `period` steps.

    Args:
        period: steps between two comparisons.
        save: called by all processes with the number of finished steps; returns a clause for the message.
    """

    trainer: Any

    def __init__(self, period: int, save: Any) -> None:
        self.period, self.save = period, save
        self.asked, self.since = 0, 0.0
        self.former: dict[int, Any] = {}

    def before_train(self) -> None:
        """Install the signal handlers, which Python allows only in the main thread."""
        if threading.current_thread() is threading.main_thread():
            self.former = {number: signal.signal(number, self._ask) for number in SIGNALS}

    def _ask(self, number: int, frame: object) -> None:
        now = time.monotonic()
        if not self.asked:
            self.asked, self.since = number, now
        elif now - self.since > REPEAT and counts_here():
            self._restore_handlers()
            os.kill(os.getpid(), number)

    def _restore_handlers(self) -> None:
        """Restore the former signal handlers."""
        for number, handler in self.former.items():
            signal.signal(number, handler)
        self.former = {}

    def after_step(self) -> None:
        """End the run if a signal has arrived; after the last step of an epoch, `after_epoch` does so.

        Raises:
            StoppedError: a signal has arrived; the run is saved.
        """
        done = self.trainer.iter + 1
        if done % self.trainer.iters_per_epoch and (comm.get_world_size() == 1 or done % self.period == 0):
            self._end_if_asked(done)

    def after_epoch(self) -> None:
        """End the run if a signal has arrived and the run has steps left.

        Raises:
            StoppedError: a signal has arrived; the run is saved.
        """
        if self.trainer.iter < self.trainer.max_iter:
            self._end_if_asked(self.trainer.iter)

    def _end_if_asked(self, done: int) -> None:
        asked = self.asked
        if comm.get_world_size() > 1:
            device = "cuda" if dist.get_backend() == "nccl" else "cpu"
            of_all = torch.tensor(asked, device=device)
            dist.all_reduce(of_all, dist.ReduceOp.MAX)
            # A signal that arrives meanwhile stays in `self.asked` until the next comparison.
            asked = int(of_all)
        if not asked:
            return
        name = signal.Signals(asked).name
        logger.info("%s: saving and ending the run", name)
        saved = self.save(done)
        comm.synchronize()
        raise StoppedError(f"{name} ended the run after iteration {done - 1}; {saved}. Continue with --resume")

    def after_train(self) -> None:
        """Restore the former signal handlers."""
        self._restore_handlers()
