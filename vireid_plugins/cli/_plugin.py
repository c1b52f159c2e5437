"""`--plugin FILE` of every verb: a Python file that registers parts and is no package yet."""

import argparse

from vireid_plugins.cli._common import path_text


def add_plugin(parser: argparse.ArgumentParser) -> None:
    """Add the argument."""
    parser.add_argument(
        "--plugin",
        action="append",
        type=path_text,
        default=[],
        metavar="FILE.py",
        help="Python file that registers losses, attention modules, hooks, ...; may be given several times",
    )


def use_plugins(args: argparse.Namespace) -> None:
    """Let the configuration load the files, and take the argument away from the verb.

    Raises:
        ConfigError: a file does not exist.
    """
    files: list[str] = vars(args).pop("plugin", [])
    if not files:
        return
    from vireid_plugins.config.plugin_files import use_plugin_files

    use_plugin_files(files)
