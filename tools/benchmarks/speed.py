"""Measures speed and memory side by side: python tools/benchmarks/speed.py scoring --json scoring.json."""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from _paths import ROOT
from _run import positive, run, write_json
from _subjects import NAMES, subjects

# Losses and rankings are timed against the plain loops that the tests compare their values with: `reference`. Processes
# that measure are spawned with this path.
sys.path.append(str(ROOT / "tests"))


def main() -> None:
    """Parse, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=NAMES, help="what is measured")
    parser.add_argument("--repeats", type=positive, default=5, help="runs that count (default %(default)s)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default %(default)s)")
    parser.add_argument("--only", default="", help="only tasks whose name holds these words")
    parser.add_argument("--seconds", type=positive, help="what is not measured by then is named and left out")
    parser.add_argument("--json", type=Path, help="also write everything here")
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
            except Exception as error:  # whatever it was, the others are still worth their time
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
