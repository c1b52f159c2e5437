"""Import packages that only the export and fast extraction need."""

import importlib
from typing import Any

from vireid_plugins.errors import InstallError


def optional(module: str) -> Any:
    """Import a module that the extra `deploy` installs.

    Raises:
        InstallError: it is missing; the message ends with the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InstallError(
            f"ONNX needs {module.split('.')[0]} ({error}):",
            "    pip install onnx onnxscript onnxruntime",
        ) from None
