"""Score a trained run, also on other data sets: vireid evaluate logs/SYSU/wrim --on LLCM,RegDB."""

import argparse

from vireid_plugins.cli._common import add_trained, run_and_overrides
from vireid_plugins.cli.train import add_processes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    add_trained(parser)
    parser.add_argument(
        "--on",
        type=_names,
        default=[],
        metavar="SET,...",
        help="data sets to score on (default: those of the configuration)",
    )
    add_processes(parser)


def main(args: argparse.Namespace) -> None:
    """Score and write the results."""
    from vireid_plugins import engine
    from vireid_plugins.engine.runs import run_of

    args.trained, args.opts = run_and_overrides(args)
    args.eval_only = True
    if not args.trained:
        args.trained, args.opts = run_of(args.config_file, args.opts)
    run = engine.Run.from_arguments(args)
    engine.launch(engine.main, run, run.load())


def _names(word: str) -> list[str]:
    names = [name.strip() for name in word.split(",") if name.strip()]
    if not names:
        raise argparse.ArgumentTypeError("name one or more data sets, separated by commas")
    return names
