"""Draws what a trained model does: visualize.py rank --config-file FILE --output PICTURE [KEY value ...]."""

import argparse

from _run import run


def main() -> None:
    """Parse and draw."""
    from pathlib import Path

    from vireid_plugins import analysis, engine

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["rank"], help="rank: queries and their nearest gallery images")
    parser.add_argument("--config-file", required=True, help="the configuration the model was trained with")
    parser.add_argument("--output", type=Path, required=True, help="the picture to write")
    parser.add_argument("--queries", type=int, default=8, help="how many queries (default %(default)s)")
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="overrides, KEY value ...")
    args = parser.parse_args()
    lists = analysis.rank_lists_of(engine.read_config(args), args.queries)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    analysis.rank_lists(lists).save(args.output)
    print(f"wrote {args.output}: green frames are right, red ones wrong")


if __name__ == "__main__":
    run(main)
