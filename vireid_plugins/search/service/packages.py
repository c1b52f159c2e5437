"""The packages of the extra `serve`."""

import importlib

from vireid_plugins.errors import InstallError, first_line

NAMES = ("fastapi", "uvicorn")


def require_packages() -> None:
    """Import the packages.

    Raises:
        InstallError: one is missing or broken; the message ends with the command that installs it.
    """
    for name in NAMES:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise InstallError(
                f"vireid serve needs {name}, which cannot be imported ({first_line(error)}):",
                "    pip install 'vireid_plugins[serve]'",
            ) from None
