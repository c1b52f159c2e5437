"""matplotlib figures without its global state, so that no display is needed."""

import importlib
from pathlib import Path
from typing import Any

from vireid_plugins.errors import ConfigError, InstallError
from vireid_plugins.io.files import for_writing

# Formats that both matplotlib and Pillow can write.
FORMATS = (".png", ".jpg", ".jpeg", ".pdf")


def new_figure(width: float, height: float) -> Any:
    """Return an empty `matplotlib.figure.Figure`.

    Args:
        width: in inches, at 120 dots per inch.
        height: in inches.

    Raises:
        InstallError: matplotlib is missing.
    """
    return matplotlib("figure").Figure(figsize=(width, height), dpi=120, layout="constrained")


def matplotlib(module: str) -> Any:
    """Import a module of matplotlib.

    Raises:
        InstallError: it is missing; the message ends with the command that installs it.
    """
    try:
        return importlib.import_module(f"matplotlib.{module}")
    except ImportError as error:
        raise InstallError(f"figures need matplotlib ({error}):", "    pip install matplotlib") from None


def require_format(key: str, file: Path) -> None:
    """Raise a `ConfigError` unless the file name has a supported image format; call it before computing anything."""
    if file.suffix.lower() not in FORMATS:
        raise ConfigError(f"{key}: '{file}' must end in {', '.join(FORMATS)}")


def save(figure: Any, file: Path) -> None:
    """Write a matplotlib figure or a Pillow image, in the format given by the file name."""
    with for_writing(file):
        figure.savefig(file) if hasattr(figure, "savefig") else figure.save(file)
