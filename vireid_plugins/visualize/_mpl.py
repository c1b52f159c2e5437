"""Figures of matplotlib without its global state, so that nothing needs a screen."""

import importlib
from pathlib import Path
from typing import Any

from vireid_plugins.errors import ConfigError, InstallError
from vireid_plugins.io.files import for_writing

# What matplotlib and Pillow both write.
FORMATS = (".png", ".jpg", ".jpeg", ".pdf")


def new_figure(width: float, height: float) -> Any:
    """Return an empty `matplotlib.figure.Figure`.

    Args:
        width: in inches, of 120 dots.
        height: in inches.

    Raises:
        InstallError: matplotlib is missing.
    """
    return matplotlib("figure").Figure(figsize=(width, height), dpi=120, layout="constrained")


def matplotlib(module: str) -> Any:
    """Import a module of matplotlib.

    Raises:
        InstallError: it is missing; the message ends with the remedy.
    """
    try:
        return importlib.import_module(f"matplotlib.{module}")
    except ImportError as error:
        raise InstallError(f"figures need matplotlib ({error}):\n    pip install matplotlib") from None


def require_format(key: str, file: Path) -> None:
    """Raise a `ConfigError` unless a picture can be written under that name; asked before anything is computed."""
    if file.suffix.lower() not in FORMATS:
        raise ConfigError(f"{key}: '{file}' must end in {', '.join(FORMATS)}")


def save(figure: Any, file: Path) -> None:
    """Write a figure, or a picture of Pillow, in the format of the file's name."""
    with for_writing(file):
        figure.savefig(file) if hasattr(figure, "savefig") else figure.save(file)
