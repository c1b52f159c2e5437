"""Call a function of a test file in another process: a fork of one that has no threads, unlike the suite's own.

Run as a script, `apart.py FILE FUNCTION ARGUMENTS`, it does so in its process.
"""

import importlib.util
import inspect
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from commands import Ran
from helpers import HANG, ROOT, commands


def apart(function: Callable[..., object], *arguments: object) -> Ran:
    """Call a function of a test file with arguments, of which paths become text, and wait until its process ends."""
    given = json.dumps(arguments, default=str)
    return commands().run([__file__, inspect.getfile(function), function.__name__, given], ROOT, {}, HANG)


def load(file: Path) -> Any:
    """Import a test file, which is in no package."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    # Objects of its classes are pickled by this name.
    module = sys.modules[file.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    file, function, arguments = sys.argv[1:]
    getattr(load(Path(file)), function)(*json.loads(arguments))
