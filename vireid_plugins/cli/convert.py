"""Convert a public checkpoint, or keep only the weights of a run: vireid convert agw sysu_agw.t agw.pth.

The second form is vireid convert logs/wrim --weights-only --output small.pth.
"""

import argparse
from pathlib import Path

from vireid_plugins.checkpoints.layouts import LAYOUTS
from vireid_plugins.cli._common import path, say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.set_defaults(error=parser.error)
    parser.add_argument(
        "layout",
        metavar="LAYOUT",
        help=f"method whose public code wrote the checkpoint ({', '.join(LAYOUTS)}); with --weights-only, a run: its "
        "folder or a checkpoint",
    )
    parser.add_argument("source", nargs="?", type=path, help="checkpoint to convert")
    parser.add_argument("target", nargs="?", type=path, help="file to write, for MODEL.WEIGHTS")
    parser.add_argument(
        "--weights-only",
        action="store_true",
        help="write the weights and the configuration of a run, without what only a resumed training needs",
    )
    parser.add_argument("--output", type=path, metavar="FILE", help="with --weights-only: file to write")
    parser.add_argument("--quiet", action="store_true", help="print only the number of keys")


def main(args: argparse.Namespace) -> None:
    """Convert and report every key, or keep the weights of a run and say how large they are."""
    if args.weights_only:
        if args.source or not args.output:
            args.error("--weights-only takes one run and --output: convert RUN --weights-only --output FILE")
        _keep_weights(args.layout, args.output)
        return
    if args.output or not (args.source and args.target):
        args.error("needs LAYOUT, source and target; or RUN with --weights-only and --output")
    _convert(args)


def _keep_weights(run: str, target: Path) -> None:
    """Write the weights of a run."""
    from vireid_plugins.checkpoints.weights_only import write_weights
    from vireid_plugins.engine.runs import find_weights

    source = find_weights(run)
    found = write_weights(source, target)
    say(f"{'averaged weights' if found.averaged else 'weights'} of {source}, with its configuration")
    say(f"wrote {target}: {_megabytes(found.after)}, where the checkpoint has {_megabytes(found.before)}")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def _convert(args: argparse.Namespace) -> None:
    """Convert a public checkpoint."""
    from vireid_plugins.checkpoints import convert_file
    from vireid_plugins.errors import require_name

    require_name("layout", args.layout, LAYOUTS)
    conversion = convert_file(args.layout, args.source, args.target)
    if not args.quiet:
        for key, name in conversion.used.items():
            say(f"used         {key} -> {name}")
        for key in conversion.unused:
            say(f"unused copy  {key}")
    say(f"{len(conversion.used)} keys used, {len(conversion.unused)} unused copies, {len(conversion.missing)} missing")
    say(f"wrote {args.target}; score it: vireid evaluate {args.target} --config-file {LAYOUTS[args.layout].config}")
