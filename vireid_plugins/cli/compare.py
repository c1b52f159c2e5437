"""Compare two methods, by one or several runs each: vireid compare A B [--output CURVES.png].

A and B are folders of runs, folders that hold several runs of one setting, or patterns in quotes: 'logs/agw_seed-*'.
"""

import argparse

from vireid_plugins.cli._common import path, say, say_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.add_argument("sides", nargs="*", type=path, metavar="A B", help="one folder or pattern a side")
    parser.add_argument("--a", nargs="+", type=path, metavar="RUN", help="the runs of side A, one by one")
    parser.add_argument("--b", nargs="+", type=path, metavar="RUN", help="the runs of side B, one by one")
    parser.add_argument("--output", type=path, metavar="FILE", help="also draw the curves of all runs to this picture")


def main(args: argparse.Namespace) -> None:
    """Print the table and what can be said, and draw the curves."""
    plain = len(args.sides) == 2 and not (args.a or args.b)
    if not plain and not (args.a and args.b and not args.sides):
        args.error("needs two sides: A B, or --a RUN ... --b RUN ...; a pattern must be in quotes")
    from vireid_plugins.experiments.compare import compare, read_side, sentences
    from vireid_plugins.experiments.tables import markdown
    from vireid_plugins.visualize._mpl import require_format, save

    if args.output:
        require_format("--output", args.output)
    words = ([args.sides[0]], [args.sides[1]]) if plain else (args.a, args.b)
    a, b = (read_side(letter, list(map(str, each))) for letter, each in zip("AB", words, strict=True))
    found = compare(a, b)
    say_table(markdown(found.rows))
    say(*sentences(found))
    if args.output:
        from vireid_plugins.experiments.curves import draw_curves

        sides = [(side.name, [run.folder for run in side.runs]) for side in (a, b)]
        figure = draw_curves(sides, [one.protocol for one in found.compared])
        say(f"wrote {args.output}{save(figure, args.output)}")
