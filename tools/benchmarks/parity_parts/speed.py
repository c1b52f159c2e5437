"""Time the steps of both sides in alternation, at the recipe's size."""

import statistics
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from shared_parts.errors import BenchmarkError
from tabulate import tabulate

from parity_parts import ours, released
from parity_parts.exchange import Job, Side, Step
from parity_parts.repositories import REPOSITORIES

GIB = 2**30
# Memory limit of a public step.
LIMIT = 16 * GIB
# Left free for other processes, including the other side's weights.
MARGIN = 3 * GIB


def limit() -> int:
    """Return the memory that a public step may take: 16 GiB, or less if less is available."""
    info = Path("/proc/meminfo")
    if not info.is_file():
        return LIMIT
    numbers = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in info.read_text().splitlines()}
    return min(LIMIT, numbers["MemAvailable"] - MARGIN)


def largest(peak: Callable[[int], int], most: int, allowed: int) -> int:
    """Return the largest even P whose step stays under the limit, assuming that the peak grows linearly with P.

    Args:
        peak: measures the peak memory of a step with P identities, in bytes.
        most: the recipe's P.
        allowed: the limit in bytes.

    Raises:
        BenchmarkError: even two identities exceed the limit.
    """
    # Even numbers: IDKL's public code splits a modality's images in halves.
    few, more = peak(2), peak(4)
    each = max((more - few) // 2, 1)
    # Growth is not perfectly linear, so one identity's share is kept free.
    fitting = 2 + (allowed - few - each) // each
    if fitting < 2:
        raise BenchmarkError(
            f"a step with two identities takes {few / GIB:.1f} GiB, and {allowed / GIB:.1f} GiB are allowed"
        )
    return int(min(most, fitting)) // 2 * 2


def measure(method: str, folder: Path, scratch: Path, repeats: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Return the measurement of a method on SYSU-MM01's recipe, ready for JSON.

    Args:
        method: a key of `REPOSITORIES`.
        folder: folder of the public code.
        scratch: scratch folder.
        repeats: number of timed steps of each side.
        say: receives progress messages.
    """
    repository = REPOSITORIES[method]
    job = Job(
        method,
        "sysu",
        repository.configs["sysu"],
        repository.layout["sysu"],
        repository.recipe,
        double=False,
        details=False,
        recompute=True,
    )
    allowed = limit()

    def peak(identities: int) -> int:
        trial = replace(job, scale=replace(job.scale, identities=identities))
        with Side(released.take_steps, (trial, str(folder)), scratch / f"peak{identities}", "the public code") as side:
            side.ask()
            step: Step = side.ask(False, ())
        say(f"a public step with P = {identities}: {step.peak / GIB:.2f} GiB")
        return step.peak

    identities = largest(peak, job.scale.identities, allowed)
    say(f"P = {identities} of {job.scale.identities}")
    job = replace(job, scale=replace(job.scale, identities=identities))
    theirs: list[Step] = []
    own: list[Step] = []
    with Side(released.take_steps, (job, str(folder)), scratch / "timed", "the public code") as there:
        shapes, _ = there.ask()
        with Side(ours.take_steps, (job, shapes), scratch / "ours", "this package") as here:
            here.ask()
            # The warm-up counts operations.
            for number in range(1 + repeats):
                count = number == 0
                theirs.append(there.ask(count, ()))
                batch, epoch = theirs[-1].batch, theirs[-1].epoch_steps
                theirs[-1].batch = {}
                own.append(here.ask(count, epoch, batch, None))
                say(f"step {number}: public {theirs[-1].seconds:.1f} s, ours {own[-1].seconds:.1f} s of CPU time")
    return {
        "dataset": "sysu",
        "size": list(job.scale.size),
        "P": identities,
        "recipe P": repository.recipe.identities,
        "K": job.scale.instances,
        "images": len(batch["targets"]),
        "dtype": "float32",
        "keys of this package": "MODEL.RECOMPUTE_ACTIVATIONS True",
        "warm_up": 1,
        "memory_limit": allowed,
        "released": _summary(theirs),
        "ours": _summary(own),
    }


def _summary(steps: list[Step]) -> dict[str, Any]:
    seconds = [step.seconds for step in steps[1:]]
    return {
        "cpu_seconds": seconds,
        "median_cpu_seconds": statistics.median(seconds),
        "peak": steps[-1].peak,
        "operations": steps[0].operations,
    }


def table(measured: dict[str, Any]) -> str:
    """Return both sides, and ours divided by the public one."""
    sides = [measured["released"], measured["ours"]]
    rows = [
        [
            name,
            f"{side['median_cpu_seconds']:.2f}",
            f"{min(side['cpu_seconds']):.2f} .. {max(side['cpu_seconds']):.2f}",
            f"{side['peak'] / GIB:.2f}",
            f"{side['operations'] / 1e12:.3f}",
        ]
        for name, side in zip(("released", "ours"), sides, strict=True)
    ]
    ratios = [
        f"{sides[1][key] / sides[0][key]:.3f}" if sides[0][key] else ""
        for key in ("median_cpu_seconds", "peak", "operations")
    ]
    rows.append(["ours / released", ratios[0], "", *ratios[1:]])
    return tabulate(rows, ["", "CPU seconds, median", "spread", "peak GiB", "operations / 1e12"], disable_numparse=True)
