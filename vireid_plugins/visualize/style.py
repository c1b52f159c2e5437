"""What figures have in common: size, resolution, font, and colors that color-blind readers can tell apart.

The colors are those of Okabe and Ito (Color Universal Design, 2008). Where a color means something, a line style, a
mark or a hatch says the same.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from vireid_plugins.errors import ConfigError
from vireid_plugins.visualize._mpl import matplotlib

BLUE, ORANGE, GRAY, INK = "#0072B2", "#D55E00", "#767676", "#333333"
# Of curves and identities, in this order.
SERIES = (BLUE, "#E69F00", "#009E73", ORANGE, "#CC79A7", "#56B4E9", "#8C6BB1")
LINES = ("-", "--", "-.", ":")
POINTS_PER_CM, POINTS_PER_MM = 72 / 2.54, 72 / 25.4
# Of A4 paper without margins, which is about the width of a page of two columns.
PAGE_CM = 17.0
# Small text, such as legends, in parts of the font size.
SMALL = 0.875
# Least and greatest value of each number.
LIMITS = {"width": (2, 120), "dpi": (30, 2400), "font_size": (4, 40), "columns": (1, 50)}


@dataclass(frozen=True)
class Style:
    """The look of a figure.

    Attributes:
        width: of the whole figure, in cm; None: what `size` asks for, or 17 cm.
        dpi: dots per inch of photographs and of pictures made of pixels.
        font: a TrueType font that is installed.
        font_size: in points.
        columns: panels, pairs or rank lists next to each other; None: as many as fit, or 1.
        size: height and width of a photograph in mm; None: as wide as fits, and twice as high.

    Raises:
        ConfigError: a number is out of range; the message names it.
    """

    width: float | None = None
    dpi: int = 300
    font: str = "DejaVu Sans"
    font_size: float = 8
    columns: int | None = None
    size: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        numbers = {name: getattr(self, name) for name in LIMITS}
        for name, value in numbers.items():
            low, high = LIMITS[name]
            if value is not None and not low <= value <= high:
                raise ConfigError(f"--{name.replace('_', '-')}: must be from {low} to {high}, got {value:g}")
        if self.size is not None and not all(1 <= side <= 1000 for side in self.size):
            raise ConfigError(f"--size: height and width must be from 1 to 1000 mm, got {self.size}")

    @property
    def points(self) -> float:
        """The width of the figure in points."""
        return (PAGE_CM if self.width is None else self.width) * POINTS_PER_CM

    def snapped(self, points: float) -> float:
        """Return the nearest length that is a whole number of pixels."""
        return self.pixels(points) * 72 / self.dpi

    def pixels(self, points: float) -> int:
        """Return how many pixels a length in points has."""
        return round(points * self.dpi / 72)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Draw, or save, with this style inside a `with` block.

        Raises:
            ConfigError: the font is not installed, or publishers could not use it.
        """
        require_font(self.font)
        with matplotlib("").rc_context(self._parameters()):
            yield

    def _parameters(self) -> dict[str, Any]:
        small = SMALL * self.font_size
        sizes = ("axes.labelsize", "xtick.labelsize", "ytick.labelsize", "legend.fontsize")
        return {
            # The second font has what the first may lack.
            "font.family": [self.font, "DejaVu Sans"],
            "font.size": self.font_size,
            # Names of folders are no formulas.
            "text.parse_math": False,
            "axes.titlesize": self.font_size,
            "figure.titlesize": self.font_size,
            **dict.fromkeys(sizes, small),
            "axes.linewidth": 0.6,
            "axes.axisbelow": True,
            "axes.formatter.limits": (-3, 5),
            "lines.linewidth": 1.2,
            "hatch.linewidth": 0.5,
            "legend.framealpha": 0.9,
            # TrueType, which publishers accept, and not Type 3.
            "pdf.fonttype": 42,
            # Text as outlines: it looks the same where the font is missing.
            "svg.fonttype": "path",
            "svg.hashsalt": "vireid",
            # Each photograph with its own pixels.
            "image.composite_image": False,
        }


DEFAULT = Style()


# Fonts of formulas and the like, which have few letters.
FORMULAS = (
    *("cmex", "cmsy", "cmmi", "cmb", "cmr", "cmss", "cmti", "cmtt", "STIXSize", "STIXNonUnicode"),
    *("DejaVu Sans Display", "DejaVu Serif Display", "DejaVu Math", "Last Resort"),
)


def require_font(name: str) -> None:
    """Raise a `ConfigError` unless a TrueType font of this name is installed."""
    manager = matplotlib("font_manager")
    try:
        file = manager.findfont(manager.FontProperties(family=[name]), fallback_to_default=False)
    except ValueError:
        families = sorted({entry.name for entry in manager.fontManager.ttflist if not entry.name.startswith(FORMULAS)})
        raise ConfigError(f"--font: '{name}' is not installed; available: {', '.join(families)}") from None
    if not str(file).lower().endswith((".ttf", ".ttc")):
        raise ConfigError(f"--font: '{name}' is no TrueType font ('{file}'), which a PDF for a publisher needs")
