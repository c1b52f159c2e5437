"""matplotlib figures without its global state, so that no display is needed."""

import importlib
import io
from pathlib import Path
from typing import Any

from vireid_plugins.errors import ConfigError, InstallError
from vireid_plugins.io.files import write_bytes, write_or_keep

# Formats of figures that matplotlib draws, and of pictures that Pillow puts together from photographs.
PIXELS = (".png", ".jpg", ".jpeg", ".pdf")
VECTOR = (*PIXELS, ".svg")


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


def require_format(key: str, file: Path, vector: bool = True) -> None:
    """Raise a `ConfigError` unless a figure can be written in the format of a file name; call it before computing.

    Args:
        key: the option that the name comes from.
        file: the name.
        vector: whether the figure is drawn by matplotlib; pictures made of photographs have pixels in every format.
    """
    formats = VECTOR if vector else PIXELS
    if file.suffix.lower() not in formats:
        why = (
            "" if vector or file.suffix.lower() not in VECTOR else "; it is made of photographs, not of lines and text"
        )
        raise ConfigError(f"{key}: '{file}' must end in {', '.join(formats)}{why}")


def save(figure: Any, file: Path) -> str:
    """Write a matplotlib figure or a Pillow image, in the format given by the file name.

    Fonts are embedded in the form that publishers accept (Type 42), not as Type 3.

    Returns:
        what to know about the file, or an empty string.

    Raises:
        ConfigError: the file cannot be written; an existing one is unchanged.
    """
    name = file.suffix.lower().lstrip(".")
    stream = io.BytesIO()
    drawn = hasattr(figure, "savefig")
    if drawn:
        with importlib.import_module("matplotlib").rc_context({"pdf.fonttype": 42}):
            figure.savefig(stream, format=name)
    else:
        figure.save(stream, "JPEG" if name in ("jpg", "jpeg") else name.upper())
    write_or_keep(file, lambda target: write_bytes(target, stream.getvalue()))
    return "" if drawn or name != "pdf" else "; the page is one JPEG picture, as it is made of photographs"
