"""What every command line shares: how it ends, its numbers, its JSON files.

A message for what the user can mend, a traceback for our own defects.
"""

import argparse
import errno
import importlib
import importlib.util
import json
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn


def run(main: Callable[[], object]) -> NoReturn:
    """Call `main`, which imports the package itself, and exit."""
    try:
        main()
    except ImportError as error:
        hint = "" if type(error).__name__ == "InstallError" else "\nInstall the package: pip install -e ."
        sys.exit(f"error: {error}{hint}")
    except Exception as error:
        from vireid_plugins.errors import UserError

        if isinstance(error, OSError) and error.filename and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            sys.exit(f"error: '{error.filename}' cannot be written: {error.strerror}")
        if not isinstance(error, UserError):
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    sys.exit(0)


def plain(name: str) -> types.ModuleType:
    """Import a module of the package that needs only the standard library, without the package around it.

    Importing the package imports torch, for which nobody who asks for --help should wait.
    """
    package, *inner = name.split(".")
    if package in sys.modules:
        return importlib.import_module(name)
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"No module named '{package}'", name=package)
    folder = Path(spec.submodule_search_locations[0])
    for end in range(len(inner)):
        bare = types.ModuleType(".".join([package, *inner[:end]]))
        bare.__path__ = [str(folder.joinpath(*inner[:end]))]
        sys.modules[bare.__name__] = bare
    try:
        return importlib.import_module(name)
    finally:
        # The package itself is imported later, whole.
        for key in [key for key in sys.modules if key.split(".")[0] == package]:
            del sys.modules[key]


def positive(word: str) -> int:
    """Parse a whole number that is at least 1."""
    number = int(word)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not at least 1")
    return number


def write_json(file: Path, report: dict[str, Any]) -> None:
    """Write a report; its folders are made."""
    from vireid_plugins.io.files import for_writing

    with for_writing(file):
        file.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
