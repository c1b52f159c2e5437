"""Times functions side by side: warm-up, repeats, median and spread, peak memory, each in a process of its own."""

import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures import TimeoutError as LateError
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch


@dataclass(frozen=True)
class Subject:
    """One thing that is timed.

    Attributes:
        task: what is done.
        way: by whom or how; ways of one task stand beside each other.
        prepare: takes a scratch folder and the device and returns the function that is timed. It must be importable by
            name, since it runs in a fresh process. A dict of numbers that the function returns is kept; its `items`, if
            it has them, are the subject's.
        slow: measured with one repeat and no warm-up.
        items: images or other things that a run works off; 0 is not counted.
        ceiling: the way of the same task that nothing can be faster than, where there is one.
    """

    task: str
    way: str
    prepare: Callable[[Path, str], Callable[[], object]]
    slow: bool = False
    items: int = 0
    ceiling: str = ""


@dataclass(frozen=True)
class Measured:
    """Seconds and bytes.

    Attributes:
        task: see `Subject`.
        way: see `Subject`.
        warm_up: runs before the first one that counts.
        seconds: every run that counts.
        first: seconds of the very first run, compilation included.
        peak: the process' largest resident memory, preparation included, bytes.
        device_peak: the largest allocation on a CUDA device, bytes; 0 on a CPU.
        items: see `Subject`.
        ceiling: see `Subject`.
        said: what the function returned, if it was a dict of numbers.
    """

    task: str
    way: str
    warm_up: int
    seconds: list[float]
    first: float
    peak: int
    device_peak: int
    items: int = 0
    ceiling: str = ""
    said: dict[str, float] = field(default_factory=dict)

    @property
    def median(self) -> float:
        """Median of the runs that count."""
        return statistics.median(self.seconds)

    @classmethod
    def from_json(cls, report: dict[str, Any]) -> "Measured":
        """Return what `as_json` was made of."""
        return cls(**{one.name: report[one.name] for one in fields(cls) if one.name in report})

    def as_json(self) -> dict[str, Any]:
        """Return the fields and the summary of the runs."""
        return asdict(self) | {
            "repeats": len(self.seconds),
            "median_seconds": self.median,
            "fastest_seconds": min(self.seconds),
            "slowest_seconds": max(self.seconds),
        }


def measure(subject: Subject, folder: Path, device: str, repeats: int, limit: float | None = None) -> Measured:
    """Time a subject in a fresh process.

    Args:
        subject: what.
        folder: a scratch folder, which subjects of a run share.
        device: cpu or cuda.
        repeats: runs that count, unless the subject is slow.
        limit: seconds after which it is stopped, preparation included; by default never.

    Raises:
        TimeoutError: it was stopped.
    """
    others = set(multiprocessing.active_children())
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        measured = pool.submit(run_here, subject, folder, device, repeats)
        try:
            return measured.result(limit)
        except LateError:
            # The pool waits for its process at the end of the block.
            for process in set(multiprocessing.active_children()) - others:
                process.kill()
            raise TimeoutError(f"stopped after {limit:.0f} s") from None


def run_here(subject: Subject, folder: Path, device: str, repeats: int) -> Measured:
    """Time a subject in this process; see `measure`."""
    function = subject.prepare(folder, device)
    warm_up = 0 if subject.slow else 1
    said: dict[str, float] = {}
    seconds = [_seconds(function, device, said) for _ in range(warm_up + (1 if subject.slow else repeats))]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    device_peak = torch.cuda.max_memory_allocated() if device != "cpu" else 0
    counted = seconds[warm_up:]
    items = int(said.pop("items", subject.items))
    return Measured(
        subject.task, subject.way, warm_up, counted, seconds[0], peak, device_peak, items, subject.ceiling, said
    )


def _seconds(function: Callable[[], object], device: str, said: dict[str, float]) -> float:
    start = time.perf_counter()
    returned = function()
    if device != "cpu":
        torch.cuda.synchronize()
    seconds = time.perf_counter() - start
    if isinstance(returned, dict):
        said.update(returned)
    return seconds
