"""Training curves of two sides, drawn over each other."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vireid_plugins.errors import DataError
from vireid_plugins.visualize._mpl import new_figure
from vireid_plugins.visualize.training_curves import Curves, read_metrics

# What is drawn, if a run has it. The colors can be told apart by everybody.
SHOWN = {"total_loss": "loss", "mAP": "mAP, percent", "Rank-1": "Rank-1, percent"}
STYLES = (("#0072B2", "-"), ("#D55E00", "--"))


def draw_curves(sides: Sequence[tuple[str, Sequence[Path]]]) -> Any:
    """Return a matplotlib figure with the loss and the scores of every run, a color for each side.

    Args:
        sides: name and folders of the runs of each side.

    Raises:
        DataError: a run has no metrics, or none has anything to draw.
        InstallError: matplotlib is missing.
    """
    curves = [(name, [read_metrics(folder / "metrics.json") for folder in folders]) for name, folders in sides]
    shown = [key for key in SHOWN if any(key in run for _, runs in curves for run in runs)]
    if not shown:
        raise DataError(f"the runs' metrics.json have none of {', '.join(SHOWN)}; nothing can be drawn")
    figure = new_figure(4.2 * len(shown), 3.6)
    for axes, key in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        for (name, runs), style in zip(curves, STYLES, strict=True):
            _draw(axes, key, name, runs, style)
        axes.set_title(SHOWN[key])
        axes.set_xlabel("iteration")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, fontsize="small")
    return figure


def _draw(axes: Any, key: str, name: str, runs: Sequence[Curves], style: tuple[str, str]) -> None:
    """Draw one scalar of all runs of a side; the legend names the side once."""
    for number, run in enumerate(runs):
        points = run.get(key, [])
        color, line = style
        axes.plot(
            [step for step, _ in points],
            [value for _, value in points],
            color=color,
            linestyle=line,
            alpha=1 if len(runs) == 1 else 0.6,
            marker="." if len(points) < 30 else None,
            label=name if not number else None,
        )
