"""What the verbs share: exit codes and error messages, common arguments, JSON files.

Errors that the user can fix print a message; bugs of our own print a traceback.
"""

import argparse
import errno
import logging
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

from vireid_plugins.escape import escape_logs, escaped, escaped_lines
from vireid_plugins.io.expand import expand
from vireid_plugins.io.output import failure, tolerant_streams


class Parser(argparse.ArgumentParser):
    """A parser whose messages show the words that they quote without control characters."""

    def _print_message(self, message: str, file: Any = None) -> None:
        super()._print_message(escaped_lines(message), file)


def say(*lines: str, flush: bool = False) -> None:
    """Print lines; control characters in them are shown escaped.

    Args:
        lines: the lines, each without a newline.
        flush: show them at once, also in a pipe.
    """
    print("\n".join(map(escaped, lines)), flush=flush)


def note(line: str) -> None:
    """Print a remark on standard error, since standard output may be a table for another program."""
    print(f"note: {escaped(line)}", file=sys.stderr)


def say_table(table: str) -> None:
    """Print a table; a cell with a name has to be escaped before the table is laid out, since it may hold newlines."""
    print(escaped_lines(table))


def _show_traceback(kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
    """Print a traceback as Python does, without control characters of names in it."""
    print(escaped_lines("".join(traceback.format_exception(kind, error, where))), file=sys.stderr, end="")


def run(main: Callable[[], object]) -> NoReturn:
    """Call `main`, which imports the package, and exit."""
    tolerant_streams()
    if logging.lastResort is not None:  # shows warnings where no log is set up
        logging.lastResort.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    escape_logs()
    sys.excepthook = _show_traceback
    try:
        main()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
    except Exception as error:
        # Looked up instead of imported, since importing the package may be what failed.
        errors = sys.modules.get("vireid_plugins.errors")
        if errors and isinstance(error, errors.UserError):
            print(f"error: {error}", file=sys.stderr)
            sys.exit(error.exit_code)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            name = f"'{escaped(error.filename)}'" if error.filename else "a file"
            sys.exit(f"error: {name} cannot be written: {error.strerror}")
        if isinstance(error, PermissionError) and error.filename:
            sys.exit(f"error: '{escaped(error.filename)}': {error.strerror}")
        raise
    if reason := failure():
        sys.exit(f"error: standard output cannot be written: {reason}")
    sys.exit(0)


def path(word: str) -> Path:
    """Parse a path; `~` and variables in it expand, as those of a shell that did not see them."""
    if not word.strip():
        raise argparse.ArgumentTypeError("an empty path; the current folder is .")
    return Path(path_text(word))


def path_text(word: str) -> str:
    """Parse a path like `path`, and keep it as text, since an empty one means none."""
    try:
        return expand(word)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


RUN = "a run's folder, FOLDER@best or a checkpoint"


def add_trained(parser: argparse.ArgumentParser) -> None:
    """Add RUN, `--config-file` and overrides to a verb that uses a trained model; `trained_config` reads them."""
    parser.add_argument("run", nargs="?", type=path_text, default="", metavar="RUN", help=RUN)
    add_config_of_run(parser)
    add_overrides(parser)


def add_config_of_run(parser: argparse.ArgumentParser) -> None:
    """Add `--config-file` to a verb that uses a trained model."""
    text = "the configuration it was trained with (default: what its checkpoint stores)"
    parser.add_argument("--config-file", type=path_text, default="", metavar="FILE", help=text)


def trained_config(args: argparse.Namespace, device: str = "") -> Any:
    """Return the checked configuration of the trained model that the arguments of `add_trained` name.

    Without a run, it is `--config-file` with `MODEL.WEIGHTS` or the last checkpoint of its output folder.
    """
    from vireid_plugins.config import load_config
    from vireid_plugins.engine.runs import load_run

    run, overrides = run_and_overrides(args)
    if run:
        return load_run(run, overrides, args.config_file, device)
    return load_config(args.config_file, [*overrides, *on_device(device)])


def output_of(args: argparse.Namespace, cfg: Any, name: str) -> Path:
    """Return `--output`, by default a name in the run's folder."""
    from vireid_plugins.engine.runs import run_folder

    return args.output or run_folder(cfg) / name


BASELINE = "a baseline, a run or its configuration file,"


def baseline_config(word: str) -> Any:
    """Return the checked configuration of a second model: a run, or a configuration file as `--config-file` takes."""
    from vireid_plugins.config import load_config
    from vireid_plugins.engine.runs import load_run

    return load_config(word) if word.endswith((".yml", ".yaml")) else load_run(word)


def run_and_overrides(args: argparse.Namespace) -> tuple[str, list[str]]:
    """Return RUN and the overrides in the arguments of `add_trained`."""
    from vireid_plugins.config.overrides import is_override
    from vireid_plugins.errors import ConfigError

    if args.config_file and not args.run:
        return "", args.opts
    if args.config_file and is_override(args.run) and not Path(args.run).exists():
        return "", [args.run, *args.opts]
    if not args.run and not args.config_file:
        raise ConfigError(f"RUN: name {RUN}, or a configuration: --config-file FILE")
    return args.run, args.opts


def add_overrides(parser: argparse.ArgumentParser) -> None:
    """Add `opts`, the configuration overrides."""
    parser.add_argument("opts", nargs="*", metavar="KEY=value", help="overrides of the configuration; also KEY value")


def on_device(device: str) -> list[str]:
    """Return the overrides that run a trained model on a device; none if it is empty.

    Mixed precision is a matter of training, and a configuration that was trained in float16 is refused on a CPU.
    """
    return ["MODEL.DEVICE", device, *(["SOLVER.AMP.ENABLED", "False"] if device == "cpu" else [])] if device else []


def positive(word: str) -> int:
    """Parse a whole number that is at least 1."""
    number = int(word)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {number}")
    return number


def write_json(file: Path, report: dict[str, Any]) -> None:
    """Write a report, creating its folder."""
    from vireid_plugins.io import files

    files.write_json(file, report)
