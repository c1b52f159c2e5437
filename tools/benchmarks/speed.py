"""Measure speed and memory side by side: python tools/benchmarks/speed.py scoring --json scoring.json."""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from _paths import ROOT
from _run import path, positive, run, write_json
from _subjects import NAMES, subjects

# Losses and rankings are timed against `reference`, the plain loops that the tests compare values with. Measuring
# processes inherit this path.
sys.path.append(str(ROOT / "tests"))


def main() -> None:
    """Parse, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=NAMES, help="what to measure")
    parser.add_argument("--repeats", type=positive, default=5, help="timed runs (default %(default)s)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default %(default)s)")
    parser.add_argument("--only", default="", help="measure only tasks whose name contains this")
    parser.add_argument("--seconds", type=positive, help="time limit; tasks not measured by then are reported")
    parser.add_argument("--json", type=path, help="also write the results to this file")
    args = parser.parse_args()

    from shared_parts.environment import environment
    from speed_parts.measure import Measured, measure
    from speed_parts.table import table
    from tqdm import tqdm

    from vireid_plugins.config.check import require_device

    require_device("--device", args.device)
    chosen = [subject for subject in subjects(args.what) if args.only in subject.task]
    facts = environment(args.device)
    results: list[Measured] = []
    failed: list[str] = []
    end = time.monotonic() + args.seconds if args.seconds else None
    with tempfile.TemporaryDirectory() as folder:
        for subject in tqdm(chosen, unit="subject", disable=None):
            left = end - time.monotonic() if end else None
            try:
                if left is not None and left <= 0:
                    raise TimeoutError(f"not reached within {args.seconds} s")
                results.append(measure(subject, Path(folder), args.device, args.repeats, left))
            except Exception as error:  # the other tasks are measured all the same
                failed.append(f"{subject.task}, {subject.way}: {type(error).__name__}: {error}")
            if args.json:
                report = {"environment": facts, "results": [result.as_json() for result in results]}
                write_json(args.json, {**report, "failed": failed})
    print(", ".join(f"{key} {value}" for key, value in facts.items()))
    print(table(results))
    if failed:
        sys.exit("\n".join(["error: not measured:", *failed]))


if __name__ == "__main__":
    run(main)
