"""Measure speed and memory side by side: python tools/benchmarks/speed.py scoring --json scoring.json."""

import argparse
import os
import sys
import tempfile
import time
from dataclasses import replace
from datetime import date
from pathlib import Path

from _paths import ROOT
from _run import path, positive, run, write_json
from _subjects import NAMES, subjects

# Losses and rankings are timed against `reference`, the plain loops that the tests compare values with. Measuring
# processes inherit this path.
sys.path.append(str(ROOT / "tests"))
ALL = "all"


def main() -> None:
    """Parse, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=(*NAMES, ALL), help=f"what to measure; {ALL}: everything")
    parser.add_argument("--repeats", type=positive, default=5, help="timed runs (default %(default)s)")
    parser.add_argument("--rounds", type=positive, default=1, help="measure every task so often, alternating its ways")
    parser.add_argument("--threads", type=positive, default=1, help="threads of every process (default %(default)s)")
    parser.add_argument(
        "--smallest", action="store_true", help="run everything once, at the smallest size, in this process: no figures"
    )
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default %(default)s)")
    parser.add_argument("--only", default="", help="measure only rows whose task and way, `task, way`, contain this")
    parser.add_argument("--seconds", type=positive, help="time limit; tasks not measured by then are reported")
    parser.add_argument("--json", type=path, help="also write the results to this file")
    parser.add_argument(
        "--merge", action="store_true", help="keep the rows of the --json file that are not measured now"
    )
    args = parser.parse_args()
    if args.merge and not (args.json and args.json.is_file()):
        parser.error("--merge needs the --json file of a former run")
    # Before anything that starts threads is imported, also by the measuring processes.
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"), str(args.threads))
    if args.smallest:
        # Compiling takes minutes at every size.
        os.environ |= {"VIREID_BENCHMARK_SMALLEST": "1", "TORCH_COMPILE_DISABLE": "1"}

    from shared_parts.environment import environment
    from speed_parts.measure import Measured, measure, run_here
    from speed_parts.merge import kept, merged
    from speed_parts.table import table
    from tqdm import tqdm

    from vireid_plugins.config.check import require_device

    require_device("--device", args.device)
    # The subjects of a CUDA device have a dry run of their own: make gpu GPU_DEVICE=cpu.
    names = [name for name in NAMES if name != "gpu"] if args.what == ALL else [args.what]
    chosen = {name: [one for one in subjects(name) if args.only in f"{one.task}, {one.way}"] for name in names}
    # A round is over before the next begins.
    order = [
        (name, one)
        for name, of in chosen.items()
        for task in dict.fromkeys(one.task for one in of)
        for _ in range(args.rounds)
        for one in of
        if one.task == task
    ]
    facts = environment(args.device)
    before = kept(args.json, facts) if args.merge else []
    # Of a file with the rows of several runs, each says its own.
    origin = {"commit": facts["commit"], "date": date.today().isoformat()} if args.merge else {}
    results: dict[tuple[str, str], Measured] = {}
    failed: list[str] = []
    end = time.monotonic() + args.seconds if args.seconds else None
    with tempfile.TemporaryDirectory() as folder:
        for name, subject in tqdm(order, unit="subject", disable=None):
            left = end - time.monotonic() if end else None
            try:
                if left is not None and left <= 0:
                    raise TimeoutError(f"not reached within {args.seconds} s")
                # What subjects of one name share.
                place = Path(folder) / name
                place.mkdir(exist_ok=True)
                if args.smallest:
                    found = run_here(replace(subject, slow=True), place, args.device, 1)
                else:
                    found = measure(subject, place, args.device, args.repeats, left)
                found, key = replace(found, **origin), (subject.task, subject.way)
                results[key] = results[key].together(found) if key in results else found
            except Exception as error:  # the other tasks are measured all the same
                failed.append(f"{subject.task}, {subject.way}: {type(error).__name__}: {error}")
            if args.json:
                report = {
                    "environment": facts,
                    "results": [row.as_json() for row in merged(before, list(results.values()))],
                }
                write_json(args.json, {**report, "failed": failed})
    print(", ".join(f"{key} {value}" for key, value in facts.items()))
    print(table(merged(before, list(results.values()))))
    if failed:
        sys.exit("\n".join(["error: not measured:", *failed]))


if __name__ == "__main__":
    run(main)
