"""Run a method's public code and this package side by side: python tools/benchmarks/parity.py agw --official PATH.

PATH is your own clone of the public repository. Both networks are filled by formula and take the same float64 steps on
the same noise, the public one through its own script, losses, optimizer and schedule. The output has a column for each
side and the first difference; the exit code is 1 if there is one. docs/parity.md has the results and lists what had to
be supplied.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import _paths  # noqa: F401  makes _run importable
from _run import path, positive, run, write_json


def main() -> None:
    """Run both sides, print the comparison and write it."""
    from parity_parts.repositories import ALL, REPOSITORIES, commit_of, expected_clones, find_folder

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("method", metavar="METHOD", help=expected_clones())
    parser.add_argument("--official", type=path, required=True, metavar="PATH", help="your clone of the repository")
    parser.add_argument("--steps", type=_count, help="float64 steps; 0 takes none (default 4, for idkl 3)")
    parser.add_argument(
        "--datasets",
        nargs="+",
        default=["sysu"],
        choices=ALL,
        help="data sets whose network and losses are run (default sysu)",
    )
    parser.add_argument("--tolerance", type=float, help="largest relative difference (default: the method's)")
    parser.add_argument("--salt", type=int, default=0, help="seed of network and images (default %(default)s)")
    parser.add_argument("--evaluation", action="store_true", help="score the same features with both evaluations")
    parser.add_argument("--speed", action="store_true", help="time float32 steps at the recipe's size in alternation")
    parser.add_argument("--repeats", type=positive, default=5, help="timed steps of each side (default %(default)s)")
    parser.add_argument("--json", type=path, help="also write to this file; earlier measurements are kept")
    args = parser.parse_args()

    from shared_parts.environment import environment

    from vireid_plugins.errors import ConfigError

    args.method = args.method.lower()
    if args.method not in REPOSITORIES:
        raise ConfigError(f"METHOD: unknown method '{args.method}'; available: " + expected_clones())
    folder = find_folder(args.method, args.official)
    repository = REPOSITORIES[args.method]
    args.steps = repository.steps if args.steps is None else args.steps
    if not (args.steps or args.evaluation or args.speed):
        parser.error("nothing to do: --steps is 0, and neither --evaluation nor --speed is given")
    if args.tolerance is not None and not args.tolerance >= 0:
        raise ConfigError(f"--tolerance: must be at least 0, got {args.tolerance}")
    kept = _read_json(args.json)
    lacking = [name for name in args.datasets if name not in repository.configs]
    if lacking:
        raise ConfigError(f"--datasets: the public code of {args.method} has no {', '.join(lacking)}")
    report: dict[str, Any] = {
        "method": args.method,
        "repository": repository.name,
        "folder": repository.folder,
        "commit": commit_of(folder),
    }
    print(f"{args.method}: {repository.name}, commit {report['commit']}")
    if report["commit"] != repository.commit:
        print(f"note: the results in docs/parity.md are for commit {repository.commit}")
    facts = environment("cpu")
    differs = False
    with tempfile.TemporaryDirectory() as scratch:
        if args.steps:
            report["steps"] = []
            for dataset in args.datasets:
                steps = _steps(args, dataset, folder, Path(scratch) / dataset)
                report["steps"].append({**steps, "environment": facts})
                differs |= steps["first_difference"] is not None
        if args.evaluation:
            report["evaluation"] = scores = _evaluation(args.method, folder, Path(scratch) / "evaluation")
            differs |= scores["largest_difference"] > scores["tolerance"]
        if args.speed:
            from parity_parts import speed

            measured = speed.measure(args.method, folder, Path(scratch), args.repeats, _say)
            print(f"float32 step at {measured['size']}, P {measured['P']}, K {measured['K']}, one thread")
            print(speed.table(measured))
            report["speed"] = {**measured, "environment": facts}
    if args.json:
        write_json(args.json, {**(kept if kept.get("commit") == report["commit"] else {}), **report})
    if differs:
        sys.exit("error: the two sides differ by more than the tolerance")


def _read_json(file: Path | None) -> dict[str, Any]:
    """Return the earlier report, or an empty one; read before anything is measured."""
    from vireid_plugins.errors import ConfigError

    if file is None or not file.is_file():
        return {}
    try:
        report = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"--json: '{file}' exists and is not a report of this script: {error}") from None
    if not isinstance(report, dict):
        raise ConfigError(f"--json: '{file}' exists and is not a report of this script")
    return report


def _steps(args: argparse.Namespace, dataset: str, folder: Path, scratch: Path) -> dict[str, Any]:
    """Take the steps of a data set, print the columns and return them."""
    from parity_parts import ours, released
    from parity_parts.columns import Row, compare, first_difference, table
    from parity_parts.exchange import Job, Side
    from parity_parts.repositories import REPOSITORIES

    from vireid_plugins.checkpoints.convert import renamed

    repository = REPOSITORIES[args.method]
    scale, layout = repository.small_scale(dataset), repository.layout[dataset]
    job = Job(args.method, dataset, repository.configs[dataset], layout, scale, salt=args.salt)
    tolerance = repository.tolerance if args.tolerance is None else args.tolerance
    print(
        f"{dataset}: {args.steps} float64 steps, P {scale.identities}, K {scale.instances}, "
        f"{scale.size[0]} x {scale.size[1]}, {job.config}"
    )
    rows: list[Row] = []
    with Side(released.take_steps, (job, str(folder)), scratch / "released", "the public code") as there:
        shapes, epoch = there.ask()
        here_of = {key: renamed(key, layout) for key in shapes}
        used = [key for key, name in here_of.items() if name is not None]
        with Side(ours.take_steps, (job, shapes), scratch / "ours", "this package") as here:
            rows.append(Row(0, "steps of an epoch", epoch, here.ask()))
            for number in range(args.steps):
                theirs = there.ask(False, used if number else ())
                state = {here_of[key]: value for key, value in theirs.state.items()}
                own = here.ask(False, theirs.epoch_steps, theirs.batch, state)
                rows += compare(args.method, number, theirs, own, here_of.__getitem__)
    print(table(rows))
    first = first_difference(rows, tolerance)
    largest = max(rows, key=lambda row: row.difference)
    print("supplied, so that the public code starts:", *theirs.supplied, sep="\n  - ")
    print(f"largest relative difference {largest.difference:.1e}: step {largest.step}, {largest.name}")
    if first is None:
        print(f"no difference above {tolerance:g}")
    else:
        print(f"first difference above the tolerance: step {first.step}, {first.name}, {first.difference:.1e}")
        if first_difference([row for row in rows if row.same_start], tolerance) is None:
            print(
                "gradients from the same weights agree: what differs is rounding that the steps before have multiplied"
            )
    return {
        "dataset": dataset,
        "config": job.config,
        "P": scale.identities,
        "K": scale.instances,
        "size": list(scale.size),
        "dtype": "float64",
        "steps": args.steps,
        "salt": args.salt,
        "tolerance": tolerance,
        "largest_difference": largest.difference,
        "first_difference": None if first is None else first.as_json(),
        "supplied": theirs.supplied,
        "rows": [row.as_json() for row in rows],
    }


def _evaluation(method: str, folder: Path, scratch: Path) -> dict[str, Any]:
    """Score the cases of a method on both sides, print the columns and return them."""
    from parity_parts import scoring
    from parity_parts.exchange import Side
    from tabulate import tabulate

    with Side(scoring.score_released, (method, str(folder)), scratch, "the public code") as there:
        released, supplied = there.ask()
    cases, judged = [], []
    for case, theirs in zip(scoring.CASES[method], released, strict=True):
        own = scoring.ours(case)
        cases.append({"case": scoring.title(case), "released": theirs, "ours": own})
        if scoring.exact(case):
            judged.append((scoring.apart(theirs, own), scoring.title(case)))
    lines = [
        [one["case"], side, *(f"{one[side][name]:.4f}" if name in one[side] else "" for name in own)]
        for one in cases
        for side in ("released", "ours")
    ]
    print("the same features scored, in percent")
    print(tabulate(lines, ["protocol", "", *own], disable_numparse=True))
    print("supplied:", *supplied or ["nothing"], sep="\n  - ")
    largest, where = max(judged)
    verdict = "agree" if largest <= scoring.TOLERANCE else "DIFFER"
    print(f"the scores {verdict}: largest difference {largest:.1e} points ({where}), tolerance {scoring.TOLERANCE:.0e}")
    return {"supplied": supplied, "cases": cases, "largest_difference": largest, "tolerance": scoring.TOLERANCE}


def _count(word: str) -> int:
    number = int(word)
    if number < 0:
        raise argparse.ArgumentTypeError(f"must be at least 0, got {number}")
    return number


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    run(main)
