"""Messages between the two processes of a comparison and the one that starts them."""

import ctypes
import multiprocessing
import os
import resource
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from shared_parts.errors import BenchmarkError

from parity_parts.repositories import Scale


@dataclass(frozen=True)
class Job:
    """What both sides run.

    Attributes:
        method: a key of `REPOSITORIES`.
        dataset: sysu, regdb or llcm; some networks and losses depend on it.
        config: this package's config.
        layout: the layout that renames the public code's weights.
        scale: the batches.
        double: run in float64, else in float32.
        details: record features and weights after every step, which costs time and memory.
        salt: seed of weights and images.
        recompute: this package recomputes activations (`MODEL.RECOMPUTE_ACTIVATIONS`).
    """

    method: str
    dataset: str
    config: str
    layout: str
    scale: Scale
    double: bool = True
    details: bool = True
    salt: int = 0
    recompute: bool = False


@dataclass
class Step:
    """The record of one side's step.

    Attributes:
        terms: losses by this side's names, as they enter the total unless the name tells otherwise.
        rates: learning rates of the `heads` and of the `rest`.
        feature: mean L2 norm of the pooled features.
        weights: L2 norm of every used parameter and buffer after the step, by this side's name.
        moved: L2 norm of its change since the start.
        gradients: L2 norm of every gradient; on this package's side, from the public side's weights.
        state: the requested weights and running statistics of the public side before the step.
        seconds: CPU time of the step, user and system, from the ready batch to updated weights.
        batch: rows in this package's order (`images`, `targets`, `modalities`, `views`); only on the public side.
        epoch_steps: number of steps in an epoch of noise.
        operations: floating-point operations of forward and backward pass, if counted.
        supplied: what has been supplied to the public side so far.
        peak: the process's peak resident memory so far, in bytes.
    """

    terms: dict[str, float] = field(default_factory=dict)
    rates: dict[str, float] = field(default_factory=dict)
    feature: float = 0.0
    weights: dict[str, float] = field(default_factory=dict)
    moved: dict[str, float] = field(default_factory=dict)
    gradients: dict[str, float] = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    batch: dict[str, Any] = field(default_factory=dict)
    epoch_steps: int = 0
    operations: int = 0
    supplied: list[str] = field(default_factory=list)
    peak: int = 0


class Side:
    """A process that takes steps on request.

    Args:
        work: function that runs in the process; it takes a `Desk` and the arguments.
        arguments: importable and picklable.
        folder: scratch folder and working directory; the output of the code goes to a file there.
        name: name in messages.
    """

    def __init__(self, work: Callable[..., None], arguments: tuple[Any, ...], folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.name, self.log = name, folder / "printed.txt"
        context = multiprocessing.get_context("spawn")
        self._here, there = context.Pipe()
        self.process = context.Process(target=_run, args=(work, there, arguments, folder, self.log), daemon=True)
        self.process.start()
        there.close()

    def ask(self, *message: Any) -> Any:
        """Send a message, if any, and return the answer.

        Raises:
            BenchmarkError: the process failed; the message ends with the last lines of its output.
        """
        try:
            if message:
                self._here.send(message)
            kind, content = self._here.recv()
        except (EOFError, BrokenPipeError, ConnectionResetError):
            self.process.join()
            raise BenchmarkError(f"{self.name}: the process died with code {self.process.exitcode}") from None
        if kind == "failed":
            printed = self.log.read_text(encoding="utf-8", errors="replace")[-2000:] if self.log.is_file() else ""
            raise BenchmarkError(f"{self.name} failed:\n{content}\nprinted last:\n{printed}")
        return content

    def close(self) -> None:
        """End the process."""
        self._here.close()
        self.process.join(timeout=5)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()

    def __enter__(self) -> "Side":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Finished(BaseException):
    """No more requests: unwinds the running code."""


class Desk:
    """The end of the connection inside the process."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def tell(self, content: Any) -> None:
        """Send an answer."""
        self._connection.send(("done", content))

    def wait(self) -> tuple[Any, ...]:
        """Return the next message.

        Raises:
            Finished: there are no more messages.
        """
        try:
            message: tuple[Any, ...] = self._connection.recv()
        except (EOFError, OSError):
            raise Finished from None
        return message


def cpu_seconds() -> float:
    """Return the CPU time of this process so far, over all threads."""
    return time.process_time()


def finish(step: Step) -> Step:
    """Record the peak memory, and return unused memory to the system for the other side's step."""
    step.peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    # Only with glibc; otherwise freed memory stays with the process.
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    return step


def _run(
    work: Callable[..., None], connection: Connection, arguments: tuple[Any, ...], folder: Path, log: Path
) -> None:
    """Run in the new process."""
    os.chdir(folder)
    # Write no bytecode into the user's clone.
    sys.dont_write_bytecode = True
    with log.open("wb") as stream:
        # This also redirects output of C code, and that of public scripts which replace sys.stdout.
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
    try:
        work(Desk(connection), *arguments)
    except Finished:
        pass
    except BaseException:
        sys.stdout.flush()
        connection.send(("failed", traceback.format_exc()))
    connection.close()
    # Public code replaces sys.stdout and closes it in a destructor.
    os._exit(0)
