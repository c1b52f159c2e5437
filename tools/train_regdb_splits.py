"""Trains RegDB's ten splits and averages them: train_regdb_splits.py --config-file configs/RegDB/wrim.yml [KEY value].

The same command goes on where it was interrupted, and only averages when all splits are done.
"""

import argparse

from _run import run


def main() -> None:
    """Parse, train and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config-file", required=True, help="a configuration that trains and tests RegDB")
    every = ",".join(map(str, range(1, 11)))
    parser.add_argument("--splits", type=_splits, default=every, metavar="1,2,...", help="which (default: all ten)")
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="overrides, KEY value ...")
    args = parser.parse_args()

    from vireid_plugins import engine
    from vireid_plugins.evaluation.regdb_average import merged_table

    merged = engine.train_splits(args.config_file, args.opts, args.splits)
    print("RegDB, mean ± standard deviation over splits in percent, each split's last epoch:")
    print(merged_table(merged))


def _splits(words: str) -> list[int]:
    splits = [int(word) for word in words.split(",")]
    if not set(splits) <= set(range(1, 11)) or len(set(splits)) < len(splits):
        raise argparse.ArgumentTypeError(f"'{words}' must be different numbers of 1 to 10 with commas between")
    return splits


if __name__ == "__main__":
    run(main)
