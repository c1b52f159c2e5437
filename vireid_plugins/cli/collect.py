"""Average the scores of runs with equal settings: vireid collect FOLDER [--format latex --output TABLE.tex].

Runs are of one setting if their configurations differ only in seed, split, places and speed.
"""

import argparse

from vireid_plugins.cli._common import note, path, say, say_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.add_argument("folder", type=path, metavar="FOLDER", help="runs are searched for here and below")
    parser.add_argument(
        "--format", choices=("markdown", "csv", "latex"), default="markdown", help="of the table (default %(default)s)"
    )
    parser.add_argument("--output", type=path, metavar="FILE", help="write the table to a file instead of the screen")


def main(args: argparse.Namespace) -> None:
    """Print or write the table."""
    from vireid_plugins.experiments.collect import collect
    from vireid_plugins.experiments.tables import FORMATS
    from vireid_plugins.io.files import write_bytes

    found = collect(args.folder)
    table = FORMATS[args.format](found.rows)
    if args.output:
        write_bytes(args.output, f"{table.rstrip()}\n".encode())
        say(f"wrote {args.output}")
    else:
        if args.format == "markdown":
            say("mean ± sample deviation in percent, over seeds, or over splits where there is one seed:")
        say_table(table.rstrip())
    for remark in found.remarks:
        note(remark)
