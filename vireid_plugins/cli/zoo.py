"""Train or score all methods on one data set, with one table: vireid zoo DATASET [--methods agw,wrim] [--epochs N].

The same command continues an interrupted zoo; finished runs are not repeated.
"""

import argparse
from typing import Any

from vireid_plugins.cli._common import add_overrides, path, positive, say, say_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.add_argument(
        "dataset",
        metavar="DATASET",
        help="a folder of shipped configs (SYSU, RegDB, LLCM, own, demo), or a folder of images of your own",
    )
    parser.add_argument(
        "--methods",
        type=_names,
        default=[],
        metavar="NAME,...",
        help="methods, or configuration files of your own (default: all that the data set has)",
    )
    parser.add_argument(
        "--epochs",
        type=positive,
        default=0,
        metavar="N",
        help="epochs of every training, to which each recipe's schedule is fitted (default: those of the recipes)",
    )
    parser.add_argument("--seeds", type=positive, default=3, metavar="N", help="number of seeds (default %(default)s)")
    parser.add_argument(
        "--weights",
        type=_given,
        action="append",
        default=[],
        metavar="METHOD=RUN",
        help="score this run or checkpoint instead of training the method; may be given again",
    )
    parser.add_argument(
        "--output", type=path, metavar="DIR", help="folder of runs and table (default: logs/zoo/DATASET)"
    )
    add_overrides(parser)


def main(args: argparse.Namespace) -> None:
    """Run the zoo and print its table."""
    from vireid_plugins.errors import LaunchError, StoppedError
    from vireid_plugins.experiments.zoo import Zoo, output_of, run_zoo

    weights: dict[str, list[str]] = {}
    for method, run in args.weights:
        weights.setdefault(method, []).append(run)
    zoo = Zoo(args.dataset, args.methods, args.epochs, args.seeds, weights, args.output, args.opts)
    try:
        run_zoo(zoo, lambda line: say(line, flush=True))
    except (LaunchError, StoppedError):
        _show(output_of(zoo))
        raise
    _show(output_of(zoo))


def _show(folder: Any) -> None:
    file = folder / "zoo.md"
    say_table(file.read_text(encoding="utf-8").rstrip())
    say(f"wrote {file}, and the same as .csv and .json")


def _names(word: str) -> list[str]:
    names = [name.strip() for name in word.split(",") if name.strip()]
    if not names:
        raise argparse.ArgumentTypeError("name one or more methods, separated by commas")
    return names


def _given(word: str) -> tuple[str, str]:
    method, equals, run = word.partition("=")
    if not (method and equals and run):
        raise argparse.ArgumentTypeError(f"'{word}' is not METHOD=RUN, such as agw=logs/SYSU/agw")
    return method, run
