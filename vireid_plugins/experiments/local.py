"""Run trainings on this machine, some at a time, each in a process of its own that ends with this one."""

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from vireid_plugins.experiments.outcomes import STOPPED, Outcome, Report, open_console, outcome_of, words_of
from vireid_plugins.experiments.plan import PlannedRun
from vireid_plugins.processes import start_command

# Seconds between two looks at the processes.
LOOK = 0.1
# A second signal within this many seconds is the first one again.
REPEAT = 1.0
SIGNALS = (signal.SIGTERM, signal.SIGINT)


class _Started(NamedTuple):
    run: PlannedRun
    process: Any
    device: str


class LocalExecutor:
    """Runs trainings on this machine.

    A failed training does not stop the others. The first SIGTERM or SIGINT lets the trainings save and end, and starts
    no other; a second one kills them.

    Args:
        config: the configuration file of all runs.
        jobs: trainings at a time, per device if there are devices.
        devices: CUDA devices by number or name; empty: the environment is passed on as it is.
    """

    def __init__(self, config: str, jobs: int = 1, devices: Sequence[str] = ()) -> None:
        self.config, self.jobs = config, jobs
        self.slots = [device for _ in range(jobs) for device in devices] or [""] * jobs
        self.stopping = False
        self._started: list[_Started] = []

    def run(self, runs: Sequence[PlannedRun], report: Report) -> list[Outcome]:
        """Run trainings, and return how each of them ended, in the order given.

        Raises:
            ConfigError: the folder of a run cannot be written.
        """
        waiting, free = list(runs), list(self.slots)
        ended: dict[str, Outcome] = {}
        try:
            with self._signals():
                while self._started or (waiting and not self.stopping):
                    while waiting and free and not self.stopping:
                        self._start(waiting.pop(0), free.pop(0))
                    for done in [one for one in self._started if one.process.poll() is not None]:
                        self._started.remove(done)
                        free.append(done.device)
                        ended[done.run.name] = self._outcome(done)
                        report(ended[done.run.name])
                    time.sleep(LOOK)
        finally:
            for left in self._started:
                left.process.kill()
            self._started = []
        return [ended.get(run.name, Outcome(run, STOPPED)) for run in runs]

    def _outcome(self, done: _Started) -> Outcome:
        found = outcome_of(done.run, done.process.returncode)
        # A process that was ended before it could save, or while it imported, has not failed.
        return Outcome(done.run, STOPPED) if self.stopping and done.process.returncode < 0 else found

    def _start(self, run: PlannedRun, device: str) -> None:
        console = open_console(run.folder)
        try:
            process = start_command(words_of(run, self.config), console.fileno(), self._environment(device))
        finally:
            console.close()
        self._started.append(_Started(run, process, device))

    def _environment(self, device: str) -> dict[str, str]:
        env = dict(os.environ)
        if device:
            env["CUDA_VISIBLE_DEVICES"] = device.removeprefix("cuda:")
        if len(self.slots) > 1:
            # Several trainings with a thread per core each would wait for one another.
            env.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // len(self.slots))))
        return env

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Pass signals on to the trainings inside a `with` block."""
        since = 0.0

        def stop(number: int, frame: object) -> None:
            nonlocal since
            if since and time.monotonic() - since < REPEAT:
                return
            for one in self._started:
                one.process.send_signal(signal.SIGKILL if since else signal.SIGTERM)
            since, self.stopping = time.monotonic(), True

        here = threading.current_thread() is threading.main_thread()
        former = {number: signal.signal(number, stop) for number in SIGNALS} if here else {}
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)
