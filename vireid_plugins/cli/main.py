"""Visible-infrared person re-identification on fast-reid. The verbs:"""

import argparse
import importlib
import os
from collections.abc import Sequence
from types import ModuleType
from typing import Any, NoReturn

from vireid_plugins.cli import (
    collect,
    compare,
    convert,
    crop,
    evaluate,
    export,
    keys,
    plugins,
    report,
    score,
    search,
    serve,
    splits,
    sweep,
    synthesize,
    train,
    verify,
    visualize,
    zoo,
)
from vireid_plugins.cli._common import Parser, run
from vireid_plugins.cli._plugin import add_plugin, use_plugins
from vireid_plugins.collector import collector_paused
from vireid_plugins.io.output import tolerant_streams

# In the order of --help.
VERBS: dict[str, ModuleType] = {
    "train": train,
    "evaluate": evaluate,
    "splits": splits,
    "sweep": sweep,
    "zoo": zoo,
    "collect": collect,
    "compare": compare,
    "score": score,
    "crop": crop,
    "search": search,
    "serve": serve,
    "visualize": visualize,
    "report": report,
    "export": export,
    "convert": convert,
    "keys": keys,
    "plugins": plugins,
    "synthesize": synthesize,
    "verify": verify,
}


def command_parser() -> argparse.ArgumentParser:
    """Return the parser of `vireid`, with a subparser per verb."""
    # A docstring describes the verb before its colon and gives an example after it. The verbs are listed here, since
    # argparse breaks the lines of the longest names.
    lines = [f"  {name:11} {(verb.__doc__ or '').partition(':')[0]}" for name, verb in VERBS.items()]
    description = "\n".join([__doc__, "", *lines])
    formatter = argparse.RawDescriptionHelpFormatter
    parser = Parser(prog="vireid", description=description, formatter_class=formatter)
    verbs = parser.add_subparsers(required=True, metavar="VERB", help="see vireid VERB --help")
    for name, verb in VERBS.items():
        _fill(verbs.add_parser(name, **_description(verb)), verb)
    return parser


def script_parser(verb: str) -> argparse.ArgumentParser:
    """Return the parser of a script in `tools/` that runs one verb."""
    parser = Parser(**_description(VERBS[verb]))
    _fill(parser, VERBS[verb])
    return parser


def run_command() -> NoReturn:
    """Run the verb named on the command line, and exit."""
    parser = command_parser()
    if "_ARGCOMPLETE" in os.environ:  # set only by shell completion
        import argcomplete

        argcomplete.autocomplete(parser)
    _parse_and_run(parser)


def run_script(verb: str) -> NoReturn:
    """Run a verb with the arguments on the command line, and exit."""
    _parse_and_run(script_parser(verb))


def parsed(parser: argparse.ArgumentParser, words: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the parsed arguments, by default those of this process; overrides may be anywhere among them.

    argparse takes the words of `opts` from one place only, and a value such as -1e-3 for a flag.
    """
    args, rest = parser.parse_known_args(words)
    if rest and (not hasattr(args, "opts") or any(word.startswith("--") for word in rest)):
        args.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        args.opts = [*args.opts, *rest]
    return args


def _description(verb: ModuleType) -> dict[str, Any]:
    return {"description": verb.__doc__, "formatter_class": argparse.RawDescriptionHelpFormatter}


def _fill(parser: argparse.ArgumentParser, verb: ModuleType) -> None:
    # Before those of the verb, which may have one of its own.
    parser.set_defaults(error=parser.error)
    add_plugin(parser)
    verb.add_arguments(parser)
    parser.set_defaults(main=verb.main)


def _parse_and_run(parser: argparse.ArgumentParser) -> NoReturn:
    tolerant_streams()
    args = parsed(parser)
    # The arguments are pickled for training processes, and a verb's function cannot be.
    main = vars(args).pop("main")

    def run_verb() -> None:
        with collector_paused(forget=True):
            # Every verb needs it, and most of it stays until the end.
            importlib.import_module("vireid_plugins")
        use_plugins(args)
        main(args)

    run(run_verb)
