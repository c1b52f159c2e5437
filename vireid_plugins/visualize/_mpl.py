"""matplotlib without its global state, so that no display is needed, and the files that figures are written to."""

import importlib
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vireid_plugins.errors import ConfigError, InstallError
from vireid_plugins.io.files import write_bytes, write_or_keep

if TYPE_CHECKING:
    from vireid_plugins.visualize.style import Style

# Formats of figures that matplotlib draws, and of pictures that Pillow puts together from photographs.
PIXELS = (".png", ".jpg", ".jpeg", ".pdf")
VECTOR = (*PIXELS, ".svg")
# What matplotlib's renderer of pixels can draw on a side.
MAX_SIDE = 65_000
# Height in cm that a page has for a figure and its caption.
PAGE = 24


def matplotlib(module: str) -> Any:
    """Import a module of matplotlib; an empty name stands for matplotlib itself.

    Raises:
        InstallError: it is missing; the message ends with the command that installs it.
    """
    try:
        return importlib.import_module(f"matplotlib.{module}".rstrip("."))
    except ImportError as error:
        raise InstallError(f"figures need matplotlib ({error}):", "    pip install matplotlib") from None


def require_format(key: str, file: Path, vector: bool = True) -> None:
    """Raise a `ConfigError` unless a figure can be written in the format of a file name; call it before computing.

    Args:
        key: the option that the name comes from.
        file: the name.
        vector: whether the figure is drawn by matplotlib; a contact sheet has pixels in every format.

    Raises:
        InstallError: matplotlib, which draws the figure, is missing.
    """
    formats = VECTOR if vector else PIXELS
    if file.suffix.lower() not in formats:
        why = (
            "" if vector or file.suffix.lower() not in VECTOR else "; it is made of photographs, not of lines and text"
        )
        raise ConfigError(f"{key}: '{file}' must end in {', '.join(formats)}{why}")
    if vector:
        matplotlib("figure")


def save(figure: Any, file: Path, style: "Style | None" = None) -> str:
    """Write a matplotlib figure or a Pillow image, in the format given by the file name.

    In a PDF file, fonts are embedded in the form that publishers accept (Type 42), and photographs without loss. In an
    SVG file, text is outlines. Neither holds a date: the same figure is the same file.

    Args:
        figure: what to write.
        file: the file.
        style: that the figure was drawn with.

    Returns:
        what to know about the file, or an empty string.

    Raises:
        ConfigError: the file cannot be written, and an existing one is unchanged; or it would have too many pixels.
    """
    name = file.suffix.lower().lstrip(".")
    vector = hasattr(figure, "savefig")
    content = drawn(figure, name, style) if vector else _pixels(figure, name)
    write_or_keep(file, lambda target: write_bytes(target, content))
    if vector:
        tall = 2.54 * figure.get_figheight()
        return f"; it is {tall:.0f} cm tall, more than a page: draw less, or in more columns" if tall > PAGE else ""
    return "; the page is one JPEG picture, as it is made of photographs" if name == "pdf" else ""


def drawn(figure: Any, name: str, style: "Style | None") -> bytes:
    """Return a matplotlib figure as a file of the format `name`, see `save`."""
    from vireid_plugins.visualize.style import DEFAULT

    side = max(figure.get_size_inches()) * figure.dpi
    if name not in ("pdf", "svg") and side > MAX_SIDE:
        raise ConfigError(
            f"the picture would have {side:,.0f} pixels on a side, and at most {MAX_SIDE:,} can be drawn; write .pdf, "
            "or fewer rows, or a smaller dpi"
        )
    # For a JPEG file matplotlib takes no metadata, not even none of it.
    dates: dict[str, Any] | None = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(name)
    stream = io.BytesIO()
    with (style or DEFAULT).applied():
        figure.savefig(stream, format=name, metadata=dates)
    return stream.getvalue()


def _pixels(picture: Any, name: str) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "JPEG" if name in ("jpg", "jpeg") else name.upper())
    return stream.getvalue()
