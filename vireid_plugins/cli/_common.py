"""What the verbs share: exit codes and error messages, common arguments, JSON files.

Errors that the user can fix print a message; bugs of our own print a traceback.
"""

import argparse
import errno
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from vireid_plugins.io.output import failure, tolerant_streams


def run(main: Callable[[], object]) -> NoReturn:
    """Call `main`, which imports the package, and exit."""
    tolerant_streams()
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
            name = f"'{error.filename}'" if error.filename else "a file"
            sys.exit(f"error: {name} cannot be written: {error.strerror}")
        raise
    if reason := failure():
        sys.exit(f"error: standard output cannot be written: {reason}")
    sys.exit(0)


def add_trained_config(parser: argparse.ArgumentParser) -> None:
    """Add `--config-file` to a verb that uses a trained model."""
    parser.add_argument("--config-file", required=True, help="the configuration the model was trained with")


def add_overrides(parser: argparse.ArgumentParser) -> None:
    """Add `opts`, the configuration overrides after all other arguments."""
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="overrides, KEY value ...")


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
