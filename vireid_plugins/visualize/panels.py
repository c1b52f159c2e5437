"""Figures of one panel or several."""

import textwrap
from collections.abc import Sequence
from math import ceil
from typing import Any

from vireid_plugins.evaluation.types import Floats
from vireid_plugins.visualize._mpl import drawn, matplotlib
from vireid_plugins.visualize.style import LINES, POINTS_PER_CM, SERIES, Style

# The least width of a panel unless the number of columns is given, in points.
PANEL = 6.5 * POINTS_PER_CM


def bare_figure(width: float, height: float, style: Style, **options: Any) -> Any:
    """Return an empty `matplotlib.figure.Figure`.

    Args:
        width: in points.
        height: in points.
        style: the look.
        options: of matplotlib's figure.

    Raises:
        InstallError: matplotlib is missing.
    """
    figure = matplotlib("figure").Figure(figsize=(width / 72, height / 72), dpi=style.dpi, **options)
    # Notebooks show it.
    figure._repr_png_ = lambda: drawn(figure, "png", style)
    return figure


def columns_in(style: Style, count: int) -> int:
    """Return how many of so many panels are next to each other."""
    return min(count, style.columns or max(1, int(style.points // PANEL)))


def panels_in(style: Style, count: int, ratio: float, shared: bool = False) -> tuple[Any, list[Any]]:
    """Return a figure and its panels, row by row.

    Args:
        style: the look.
        count: number of panels.
        ratio: height of a panel divided by its width.
        shared: whether the panels have the same axes.
    """
    columns = columns_in(style, count)
    rows = ceil(count / columns)
    # One panel alone on a wide page would be a poster.
    width = style.points if columns > 1 or style.width is not None else min(style.points, 1.7 * PANEL)
    figure = bare_figure(width, rows * ratio * width / columns, style, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharex=shared, sharey=shared).ravel()
    for unused in grid[count:]:
        unused.remove()
    return figure, list(grid[:count])


def curves_in(
    style: Style, curves: Sequence[tuple[str, Floats, Floats]], title: str, markers: str = ""
) -> tuple[Any, Any]:
    """Return a figure of one panel with curves and a legend below it, and the panel.

    Args:
        style: the look, which applies.
        curves: label, abscissas (n,) and ordinates (n,) of each.
        title: above the panel.
        markers: those of the curves, one after the other; empty: none.
    """
    figure, (axes,) = panels_in(style, 1, 0.8 + 0.08 * len(curves))
    width = 72 * figure.get_figwidth() - 4 * style.font_size
    for number, (label, x, y) in enumerate(curves):
        axes.plot(
            x,
            y,
            color=SERIES[number % len(SERIES)],
            linestyle=LINES[number % len(LINES)],
            marker=markers[number % len(markers)] if markers else None,
            markersize=2.5,
            label=wrapped(label, width, style),
        )
    axes.grid(color="#dddddd", linewidth=0.5)
    axes.set_title(title)
    figure.legend(loc="outside lower center", frameon=False)
    return figure, axes


def below(axes: Any, points: float, style: Style) -> None:
    """Put the legend of a panel that is so many points wide below it, where it covers no curve."""
    labels = axes.get_legend_handles_labels()[1]
    # A letter and a line in front of the text.
    widest = 0.6 * style.font_size * max(map(len, labels)) + 4 * style.font_size
    columns = min(len(labels), max(1, int(0.9 * points / widest)))
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.28), ncols=columns, frameon=False)


def settle(figure: Any) -> None:
    """Lay out the figure and keep that; each layout starts from the last, and legends below panels move it a little."""
    dpi = figure.dpi
    # A canvas of few pixels; the layout is in points.
    figure.set_dpi(72)
    for _ in range(2):
        figure.draw_without_rendering()
    figure.set_dpi(dpi)
    # matplotlib 3.10 saves with the dots that a figure had when its canvas was made, and drawing has made one.
    type(figure.canvas)(figure)
    figure.set_layout_engine("none")


def wrapped(words: str, points: float, style: Style) -> str:
    """Return a text in lines that are at most so wide."""
    return textwrap.fill(words, _letters(points, style), break_on_hyphens=False)


def shortened(words: str, points: float, style: Style) -> str:
    """Return a text that is at most so wide, without its end where it is too long."""
    most = _letters(points, style)
    return words if len(words) <= most else words[: most - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _letters(points: float, style: Style) -> int:
    # A letter of a wide font takes six tenths of the font size.
    return max(8, int(points / (0.6 * style.font_size)))
