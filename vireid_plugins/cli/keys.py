"""List configuration keys with their defaults and meaning: vireid keys SYSU."""

import argparse
import shutil
import textwrap

from vireid_plugins.cli._common import say, say_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.add_argument(
        "pattern", nargs="?", default="", metavar="PATTERN", help="part of a name, or a glob such as 'solver.*epoch*'"
    )


def main(args: argparse.Namespace) -> None:
    """Print the keys whose names match."""
    from vireid_plugins.config import get_cfg
    from vireid_plugins.config.keys import fastreid_keys, keys, matches
    from vireid_plugins.config.renamed import former_names
    from vireid_plugins.errors import ConfigError

    get_cfg()  # loads plug-in packages, which have keys of their own
    matching = [*keys(args.pattern), *fastreid_keys(args.pattern)]
    former = {old: said for old, said in former_names().items() if args.pattern and matches(old.upper(), args.pattern)}
    if not matching and not former:
        raise ConfigError(f"no configuration key matches '{args.pattern}'; `vireid keys` lists all")
    width = shutil.get_terminal_size().columns
    for key in matching:
        say(f"{key.name}  {key.default!r}")
        say_table(textwrap.fill(key.about, width, initial_indent="    ", subsequent_indent="    "))
    for old, said in former.items():
        say(f"{old}  {said}")
