"""Train all ten RegDB splits and average their scores: vireid splits --config-file RegDB/wrim.yml [KEY value ...].

The same command continues an interrupted run, and only averages the scores if all splits are finished.
"""

import argparse

from vireid_plugins.cli._common import add_overrides, path_text, say, say_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.add_argument(
        "--config-file", type=path_text, required=True, help="a configuration that trains and tests RegDB"
    )
    every = ",".join(map(str, range(1, 11)))
    parser.add_argument("--splits", type=_splits, default=every, metavar="1,2,...", help="splits (default: all ten)")
    add_overrides(parser)


def main(args: argparse.Namespace) -> None:
    """Train and print the averages."""
    from vireid_plugins import engine
    from vireid_plugins.evaluation.regdb_average import merged_table

    merged = engine.train_splits(args.config_file, args.opts, args.splits)
    say("RegDB, mean ± standard deviation over splits in percent, each split's last epoch:")
    say_table(merged_table(merged))


def _splits(words: str) -> list[int]:
    splits = [int(word) for word in words.split(",")]
    if not set(splits) <= set(range(1, 11)) or len(set(splits)) < len(splits):
        raise argparse.ArgumentTypeError(f"must be different numbers from 1 to 10, separated by commas; got '{words}'")
    return splits
