"""The figure of growth: cost over work, both as multiples of the least, on logarithmic axes."""

from collections.abc import Sequence
from typing import Any

from table_parts.growth import Growth
from vireid_plugins.visualize._mpl import matplotlib
from vireid_plugins.visualize.style import GRAY, LINES, SERIES

WIDTH, HEIGHT = 6.7, 3.6
MARKS = "osD^v<>Px*"


def draw_growth(found: Sequence[Growth]) -> Any:
    """Return a matplotlib figure with a curve per task, and the line of what grows like its work."""
    figure = matplotlib("figure").Figure((WIDTH, HEIGHT), layout="constrained")
    axes = figure.add_subplot()
    most = max(one.items[-1] / one.items[0] for one in found)
    axes.plot([1, most], [1, most], color=GRAY, linewidth=4, alpha=0.4, label="like the work")
    for number, one in enumerate(found):
        axes.plot(
            [items / one.items[0] for items in one.items],
            [seconds / one.seconds[0] for seconds in one.seconds],
            color=SERIES[number % len(SERIES)],
            linestyle=LINES[number // len(SERIES) % len(LINES)],
            marker=MARKS[number % len(MARKS)],
            markersize=4,
            linewidth=1.2,
            label=f"{one.task.split(', ')[0]}: {one.exponent:.2f}",
        )
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    axes.set_xlabel("work, as a multiple of the least")
    axes.set_ylabel("CPU seconds, likewise")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.grid(color=GRAY, alpha=0.2)
    axes.legend(title="exponent", fontsize=7, title_fontsize=7, loc="center left", bbox_to_anchor=(1.02, 0.5))
    return figure
