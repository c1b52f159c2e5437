"""What a signal does to a run: it finishes its step, saves and ends; the next one ends it at once."""

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

logger = logging.getLogger("fastreid." + __name__)
SIGNALS = (signal.SIGTERM, signal.SIGINT)
# Seconds within which a signal is taken for the same one, sent by the terminal and by a parent.
TWICE = 1.0


@contextmanager
def forwarded_signals() -> Iterator[None]:
    """Pass signals on to the processes started here, inside a `with` block in which this one waits for them."""

    def forward(number: int, frame: object) -> None:
        for process in multiprocessing.active_children():
            if process.pid is not None:
                os.kill(process.pid, number)

    listening = threading.current_thread() is threading.main_thread()
    former = {number: signal.signal(number, forward) for number in SIGNALS} if listening else {}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


class StopOnSignal(HookBase):
    """Ends a run on SIGTERM or SIGINT after the step it is at.

    Several processes agree on the step: they ask each other every `period` steps.

    Args:
        period: steps between two questions among processes.
        save: called by all processes with the number of steps that are done; returns what the message says of it.
    """

    trainer: Any

    def __init__(self, period: int, save: Any) -> None:
        self.period, self.save = period, save
        self.asked, self.since = 0, 0.0
        self.former: dict[int, Any] = {}

    def before_train(self) -> None:
        """Listen, where Python lets this thread."""
        if threading.current_thread() is threading.main_thread():
            self.former = {number: signal.signal(number, self._ask) for number in SIGNALS}

    def _ask(self, number: int, frame: object) -> None:
        now = time.monotonic()
        if not self.asked:
            self.asked, self.since = number, now
        elif now - self.since > TWICE:
            self._forget()
            os.kill(os.getpid(), number)

    def _forget(self) -> None:
        """Let signals do again what they did before."""
        for number, handler in self.former.items():
            signal.signal(number, handler)
        self.former = {}

    def after_step(self) -> None:
        """End the run if a signal came; after the last step of an epoch what belongs to the epoch comes first.

        Raises:
            StoppedError: it did; everything is saved.
        """
        done = self.trainer.iter + 1
        if done % self.trainer.iters_per_epoch and (comm.get_world_size() == 1 or done % self.period == 0):
            self._end_if_asked(done)

    def after_epoch(self) -> None:
        """End the run if a signal came and there is more of it.

        Raises:
            StoppedError: it did; everything is saved.
        """
        if self.trainer.iter < self.trainer.max_iter:
            self._end_if_asked(self.trainer.iter)

    def _end_if_asked(self, done: int) -> None:
        asked = self.asked
        if comm.get_world_size() > 1:
            device = "cuda" if dist.get_backend() == "nccl" else "cpu"
            everyone = torch.tensor(asked, device=device)
            dist.all_reduce(everyone, dist.ReduceOp.MAX)
            # A signal that came meanwhile is in `self.asked`, for the next time.
            asked = int(everyone)
        if not asked:
            return
        name = signal.Signals(asked).name
        logger.info("%s: the run is saved and ends", name)
        saved = self.save(done)
        comm.synchronize()
        raise StoppedError(f"{name} ended the run after iteration {done - 1}; {saved}. Go on with --resume")

    def after_train(self) -> None:
        """Listen no more."""
        self._forget()
