"""Convert a public checkpoint: vireid convert agw sysu_agw.t agw.pth."""

import argparse

from vireid_plugins.checkpoints.layouts import LAYOUTS
from vireid_plugins.cli._common import path, say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.add_argument("layout", choices=list(LAYOUTS), help="method whose public code wrote the checkpoint")
    parser.add_argument("source", type=path, help="checkpoint to convert")
    parser.add_argument("target", type=path, help="file to write, for MODEL.WEIGHTS")
    parser.add_argument("--quiet", action="store_true", help="print only the number of keys")


def main(args: argparse.Namespace) -> None:
    """Convert and report every key."""
    from vireid_plugins.checkpoints import convert_file

    conversion = convert_file(args.layout, args.source, args.target)
    if not args.quiet:
        for key, name in conversion.used.items():
            say(f"used         {key} -> {name}")
        for key in conversion.unused:
            say(f"unused copy  {key}")
    say(f"{len(conversion.used)} keys used, {len(conversion.unused)} unused copies, {len(conversion.missing)} missing")
    say(
        f"wrote {args.target}; score it: vireid train --eval-only --config-file {LAYOUTS[args.layout].config} "
        f"MODEL.WEIGHTS {args.target}"
    )
