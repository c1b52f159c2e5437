"""Time functions side by side: warm-up, repeats, median and spread, peak memory, each in its own process."""

import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures import TimeoutError as LateError
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch


@dataclass(frozen=True)
class Subject:
    """One thing that is timed.

    Attributes:
        task: what is done.
        way: by what or how; the ways of a task are compared.
        prepare: takes a scratch folder and the device and returns the function that is timed. It must be importable by
            name, since it runs in a fresh process. If the function returns a dict of numbers, it is kept; its `items`,
            if any, replace the subject's.
        slow: measure with one repeat and no warm-up.
        items: number of images or other items that a run processes; 0 is not counted.
        ceiling: the way of the same task that is an upper bound of speed, if there is one.
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
        warm_up: number of runs before the timed ones.
        seconds: seconds of each timed run.
        first: seconds of the very first run, including compilation.
        peak: the process's peak resident memory in bytes, including preparation.
        device_peak: the largest allocation on a CUDA device, bytes; 0 on a CPU.
        items: see `Subject`.
        ceiling: see `Subject`.
        said: what the function returned, if it was a dict of numbers.
        cpu: CPU seconds, user and system, of each timed run, of its process and of those that it started and ended.
        commit: of the code that was measured, if the rows of a file are of several.
        date: the day, YYYY-MM-DD, likewise.
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
    cpu: list[float] = field(default_factory=list)
    commit: str = ""
    date: str = ""

    @property
    def median(self) -> float:
        """Median of the timed runs."""
        return statistics.median(self.seconds)

    def together(self, other: "Measured") -> "Measured":
        """Return this measurement with the runs of another one of the same subject, in a later round."""
        return replace(
            self,
            seconds=[*self.seconds, *other.seconds],
            cpu=[*self.cpu, *other.cpu],
            peak=max(self.peak, other.peak),
            device_peak=max(self.device_peak, other.device_peak),
            said=other.said,
        )

    @classmethod
    def from_json(cls, report: dict[str, Any]) -> "Measured":
        """Return the measurement from the output of `as_json`."""
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
        subject: the subject.
        folder: a scratch folder that all subjects share.
        device: cpu or cuda.
        repeats: number of timed runs, unless the subject is slow.
        limit: seconds, including preparation, after which it is stopped; None never stops it.

    Raises:
        TimeoutError: the limit was reached.
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
    runs = [_timed(function, device, said) for _ in range(warm_up + (1 if subject.slow else repeats))]
    seconds, cpu = (list(column) for column in zip(*runs, strict=True))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    device_peak = torch.cuda.max_memory_allocated() if device != "cpu" else 0
    return Measured(
        subject.task,
        subject.way,
        warm_up,
        seconds[warm_up:],
        seconds[0],
        peak,
        device_peak,
        int(said.pop("items", subject.items)),
        subject.ceiling,
        said,
        cpu[warm_up:],
    )


def _cpu_seconds() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def _timed(function: Callable[[], object], device: str, said: dict[str, float]) -> tuple[float, float]:
    """Run a function once; return its wall and CPU seconds."""
    cpu, start = _cpu_seconds(), time.perf_counter()
    returned = function()
    if device != "cpu":
        torch.cuda.synchronize()
    seconds = time.perf_counter() - start, _cpu_seconds() - cpu
    if isinstance(returned, dict):
        said.update(returned)
    return seconds
