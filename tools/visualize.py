"""Draws what a trained model does: visualize.py rank --config-file FILE --output PICTURE [KEY value ...]."""

import argparse

from _run import positive, run


def main() -> None:
    """Parse and draw."""
    from pathlib import Path

    from vireid_plugins import analysis, engine

    parser = argparse.ArgumentParser(description=__doc__)
    rank = parser.add_subparsers(required=True, metavar="WHAT").add_parser(
        "rank", help="queries and their nearest gallery images"
    )
    rank.add_argument("--config-file", required=True, help="the configuration the model was trained with")
    rank.add_argument("--output", type=Path, required=True, help="the picture to write")
    rank.add_argument("--queries", type=positive, default=8, help="how many queries (default %(default)s)")
    rank.add_argument("opts", nargs=argparse.REMAINDER, help="overrides, KEY value ...")
    args = parser.parse_args()
    lists = analysis.rank_lists_of(engine.read_config(args), args.queries)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    analysis.rank_lists(lists).save(args.output)
    print(f"wrote {args.output}: green frames are right, red ones wrong")


if __name__ == "__main__":
    run(main)
