"""Training curves of two sides, drawn over each other."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vireid_plugins.errors import DataError
from vireid_plugins.visualize.panels import panels_in
from vireid_plugins.visualize.style import DEFAULT, LINES, SERIES, Style
from vireid_plugins.visualize.training_curves import Curves, read_metrics

LOSS = "total_loss"
# Of every protocol.
SCORES = ("Rank-1", "mAP")


def draw_curves(
    sides: Sequence[tuple[str, Sequence[Path]]], protocols: Sequence[str] = (), style: Style = DEFAULT
) -> Any:
    """Return a matplotlib figure with the loss and the scores of every run, a color for each side.

    Args:
        sides: name and folders of the runs of each side.
        protocols: the order of their panels; others come after these.
        style: the look.

    Raises:
        DataError: a run has no metrics, or none has anything to draw.
        InstallError: matplotlib is missing.
    """
    curves = [(name, [read_metrics(folder / "metrics.json") for folder in folders]) for name, folders in sides]
    recorded = {key for _, runs in curves for run in runs for key in run}
    order = [LOSS, *(f"{name}/{score}" for name in protocols for score in SCORES)]
    place = {key: number for number, key in enumerate(order)}
    shown = sorted(filter(_is_shown, recorded), key=lambda key: (place.get(key, len(order)), key))
    if not shown:
        raise DataError(f"the runs' metrics.json have none of {', '.join((LOSS, *SCORES))}; nothing can be drawn")
    with style.applied():
        figure, grid = panels_in(style, len(shown), 0.8)
        for axes, key in zip(grid, shown, strict=True):
            for (name, runs), color, line in zip(curves, SERIES, LINES, strict=False):
                _draw(axes, key, name, runs, color, line)
            axes.set_title("loss" if key == LOSS else f"{key}, percent")
            axes.set_xlabel("iteration")
            axes.xaxis.get_major_locator().set_params(integer=True)
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", frameon=False)
    return figure


def _is_shown(key: str) -> bool:
    return key == LOSS or key.rpartition("/")[2] in SCORES


def _draw(axes: Any, key: str, name: str, runs: Sequence[Curves], color: str, line: str) -> None:
    """Draw one scalar of all runs of a side; the legend names the side once."""
    for number, run in enumerate(runs):
        points = run.get(key, [])
        axes.plot(
            [step for step, _ in points],
            [value for _, value in points],
            color=color,
            linestyle=line,
            alpha=1 if len(runs) == 1 else 0.6,
            marker="." if len(points) < 30 else None,
            label=name if not number else None,
        )
