"""DIR curves of several runs: which share of the known people is found, over the share of unknown ones let in."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from vireid_plugins.evaluation.evaluate import score
from vireid_plugins.evaluation.open_set import CURVE, RATES, score_name
from vireid_plugins.evaluation.plan import EvaluationPlan
from vireid_plugins.evaluation.protocols import open_form
from vireid_plugins.evaluation.results import ProtocolResult
from vireid_plugins.evaluation.types import Floats
from vireid_plugins.visualize.cmc import require_one_protocol
from vireid_plugins.visualize.panels import curves_in
from vireid_plugins.visualize.retrieve import Extraction
from vireid_plugins.visualize.style import DEFAULT, Style


class Dir(NamedTuple):
    """The DIR curve of a run: its name, mean TPIR (R,) in percent at each FPIR of `CURVE`, the least FPIR above 0
    that all draws can reach, in percent, and the label of the open set."""

    name: str
    values: Floats
    least: float
    protocol: str


def dir_of(name: str, result: ProtocolResult) -> Dir:
    """Return the mean curve over the draws of an open set.

    Args:
        name: of the run.
        result: its result.
    """
    mean = 100 * np.mean([draw.dir_curve() for draw in result.open_sets], axis=0)
    fewest = min(int(draw.impostor.sum()) for draw in result.open_sets)
    return Dir(name, mean, 100 / fewest, result.label)


def dir_curve(name: str, found: Extraction, device: str = "cpu") -> Dir:
    """Return the curve of features under the open-set form of the first protocol of their plan.

    Args:
        name: of the run.
        found: features of a test set.
        device: device for distances and rank positions.
    """
    plan = EvaluationPlan(found.dataset, [open_form(found.plan.protocols[0])])
    return dir_of(name, score(found.features, found.paths, plan, device=device, metric=found.metric)[0])


def draw_dir(curves: Sequence[Dir], style: Style = DEFAULT) -> Any:
    """Return a matplotlib figure of curves, over the FPIR in logarithmic scale.

    Args:
        curves: the curves.
        style: the look.

    Raises:
        ConfigError: they are of different protocols.
    """
    require_one_protocol([(curve.protocol, curve.name) for curve in curves])
    rates = 100 * np.array(CURVE)
    # Where there are too few impostors, the curve is that of a FPIR of 0.
    shown = rates >= max(rates[0], min(curve.least for curve in curves) - 1e-9)
    with style.applied():
        lines = [(_label(curve), rates[shown], curve.values[shown]) for curve in curves]
        figure, axes = curves_in(style, lines, curves[0].protocol)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_ylim(0, 101.5)
        axes.set_xlabel("FPIR: unknown people let in, percent")
        axes.set_ylabel("TPIR: known people found, percent")
    return figure


def _label(curve: Dir) -> str:
    """Return the name of a run with the scores that its impostors suffice for."""
    reached = [rate for rate in RATES if 100 * rate >= curve.least]
    scores = [f"{score_name(rate)} {curve.values[CURVE.index(rate)]:.1f}" for rate in reached]
    return f"{curve.name}: {', '.join(scores)}" if scores else curve.name
