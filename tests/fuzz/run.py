"""Try changed input of one kind, and count how the package takes it.

    python tests/fuzz/run.py images --examples 200          # what the suite does: the same examples every time
    python tests/fuzz/run.py images --minutes 10            # others each time; what `make fuzz` does

It prints a line of JSON: tries, how many were refused with one of the package's errors, and the faults, each with the
smallest example found and the last line of the package that it went through. The exit code is 1 if there are any. If
the process dies, the example that it was reading is in `last_example.txt` of its folder.
"""

import argparse
import json
import logging
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

from hypothesis import HealthCheck, given, seed, settings  # noqa: E402

# Beyond what the process has when it begins.
MEMORY = 3 << 30
# CPU seconds of one example, which a busy machine does not stretch.
CPU_SECONDS = 20


class Slow(BaseException):
    """An example took too long."""


class Count:
    """What the examples of one kind came to."""

    def __init__(self) -> None:
        self.tries = self.refused = 0
        self.faults: dict[str, dict[str, str]] = {}


def run(name: str, folder: Path, examples: int, minutes: float, first_seed: int) -> Count:
    """Try so many examples of a kind, or others until the time is over."""
    from kinds import KINDS

    (folder / "kind").mkdir()
    kind = KINDS[name](folder / "kind")
    count = Count()
    limit_memory()
    signal.signal(signal.SIGPROF, _slow)
    deadline = time.monotonic() + 60 * minutes if minutes else float("inf")
    number = first_seed
    while True:
        found = one_round(kind, folder / "last_example.txt", count, examples, number, deadline)
        count.faults.update(found)
        if not found:
            number += 1
        # After a fault the same round is run again for others.
        if time.monotonic() > deadline or not (minutes or found):
            return count


def one_round(
    kind: Any, last: Path, count: Count, examples: int, number: int, deadline: float
) -> dict[str, dict[str, str]]:
    """Try so many examples, and return the first faults that are not known yet, with the smallest example of each."""
    found: dict[str, dict[str, str]] = {}
    checks = list(HealthCheck)

    @seed(number)
    @settings(max_examples=examples, database=None, deadline=None, suppress_health_check=checks, print_blob=False)
    @given(kind.examples)
    def one(example: Any) -> None:
        if time.monotonic() > deadline:
            return
        last.write_text(repr(example), encoding="utf-8", errors="backslashreplace")
        count.tries += 1
        signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
        try:
            judge(kind, example, count)
        except (Exception, Slow, SystemExit) as error:
            fault = where(error)
            if fault not in count.faults:
                trace = "".join(traceback.format_exception(error))
                found[fault] = {"example": repr(example)[:2000], "traceback": trace[-3000:]}
                raise AssertionError(fault) from error
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)

    try:
        one()
    except Exception:
        if not found:
            raise
    return found


def judge(kind: Any, example: Any, count: Count) -> None:
    """Try one example: it is good, or refused with one of the package's errors, whose message is one clean text."""
    from vireid_plugins.errors import UserError

    try:
        kind.attempt(example)
    except UserError as error:
        count.refused += 1
        if not 0 < len(str(error)) < 4000:
            raise ValueError(f"a message of {len(str(error))} characters") from error


def where(error: BaseException) -> str:
    """Return what tells two faults apart: the type, and the last line of the package."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "vireid_plugins" in frame.filename] or list(frames)
    last = ours[-1]
    return f"{type(error).__name__} at {Path(last.filename).name}:{last.name}"


def limit_memory() -> None:
    """Make a header that asks for terabytes an error instead of a machine that swaps."""
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 0
    if pages:
        size = pages * os.sysconf("SC_PAGE_SIZE") + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (size, resource.getrlimit(resource.RLIMIT_AS)[1]))


def _slow(*_: object) -> None:
    raise Slow


def main() -> int:
    """Run one kind, and print what it came to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind")
    parser.add_argument("--examples", type=int, default=300, help="examples of a round (default %(default)s)")
    parser.add_argument("--minutes", type=float, default=0, help="rounds with other examples until then (default: one)")
    parser.add_argument("--seed", type=int, default=0, help="of the first round (default %(default)s)")
    parser.add_argument("--folder", type=Path, help="where last_example.txt is kept (default: a temporary folder)")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as temporary:
        count = run(args.kind, args.folder or Path(temporary), args.examples, args.minutes, args.seed)
        os.chdir("/")
    sys.stdout.write(
        json.dumps({"kind": args.kind, "tries": count.tries, "refused": count.refused, "faults": count.faults}) + "\n"
    )
    return 1 if count.faults else 0


if __name__ == "__main__":
    sys.exit(main())
