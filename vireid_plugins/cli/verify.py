"""Check a data set on disk: vireid verify SYSUMM01 datasets. The exit code is 1 if anything is wrong."""

import argparse
import sys

from vireid_plugins.cli._common import path, say, say_table
from vireid_plugins.cli._own import OWN, add_own_options, own_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.add_argument("dataset", choices=("SYSUMM01", "RegDB", "LLCM", OWN), help="the data set")
    parser.add_argument("root", type=path, help="the data root, or the data set's folder itself")
    parser.add_argument("--workers", type=int, help="processes that decode images (default: one per processor)")
    add_own_options(parser)


def main(args: argparse.Namespace) -> None:
    """Check the data set and print its counts and findings."""
    from tabulate import tabulate

    from vireid_plugins.data.verify import verify

    say(f"reading the lists of {args.dataset} in {args.root}, then decoding every image", flush=True)
    report = verify(args.dataset, args.root, args.workers, own_options(args.opts) if args.dataset == OWN else {})
    fields = ("images", "identities", "cameras", "pairs")
    rows = [
        [key, *(_cell(counts.get(field), report.expected.get(key, {}).get(field)) for field in fields)]
        for key, counts in report.census.items()
        if "camera" not in key
    ]
    headers = ["list", *fields[:3], "(identity, camera)"]
    say_table(tabulate(rows, headers=headers, tablefmt="pipe", disable_numparse=True))
    for finding in report.findings:
        say(str(finding))
    say(f"{report.images} images decoded; counts compared with {report.source}; {len(report.findings)} findings")
    if report.findings:
        sys.exit(1)


def _cell(count: int | None, expected: int | None) -> str:
    return f"{count}" if expected in (None, count) else f"{count} (expected {expected})"
