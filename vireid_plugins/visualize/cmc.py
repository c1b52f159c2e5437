"""CMC curves of several runs: in which share of the queries the first correct match is at a rank position or before."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from vireid_plugins.errors import ConfigError
from vireid_plugins.evaluation.evaluate import score
from vireid_plugins.evaluation.results import ProtocolResult
from vireid_plugins.evaluation.types import Floats
from vireid_plugins.visualize.panels import curves_in
from vireid_plugins.visualize.retrieve import Extraction
from vireid_plugins.visualize.style import DEFAULT, Style

LENGTH = 20
# What a rank position counts, by a protocol's `cmc`.
COUNTED = {
    "distinct_id": "rank position (distinct identities)",
    "ordinary": "rank position (images)",
}


class Cmc(NamedTuple):
    """The CMC curve of a run: its name, values (r,) in percent with entry r - 1 for rank r, and what they are of."""

    name: str
    values: Floats
    mAP: float  # noqa: N815  the field's word
    protocol: str
    counted: str


def cmc_of(name: str, result: ProtocolResult, length: int = LENGTH) -> Cmc:
    """Return the mean curve over the trials of a protocol.

    Args:
        name: of the run.
        result: its result.
        length: number of rank positions; fewer if the gallery is smaller.
    """
    length = min(length, min(len(ranking.cmc) for ranking in result.rankings))
    mean = 100 * np.mean([ranking.cmc[:length] for ranking in result.rankings], axis=0)
    return Cmc(name, mean, result.means["mAP"], result.label, COUNTED[result.protocol.cmc])


def cmc_curve(name: str, found: Extraction, device: str = "cpu", length: int = LENGTH) -> Cmc:
    """Return the curve of features under the first protocol of their plan.

    Args:
        name: of the run.
        found: features of a test set.
        device: device for distances and rank positions.
        length: number of rank positions; fewer if the gallery is smaller.
    """
    results = score(found.features, found.paths, found.plan, device=device, metric=found.metric)
    return cmc_of(name, results[0], length)


def require_one_protocol(curves: Sequence[tuple[str, str]]) -> None:
    """Raise a `ConfigError` unless curves, given as protocol and name, are of one protocol."""
    protocols = dict(curves)
    if len(protocols) > 1:
        ways = ", ".join(f"{protocol} ({name})" for protocol, name in protocols.items())
        raise ConfigError(f"curves of different protocols cannot be compared: {ways}")


def draw_cmc(curves: Sequence[Cmc], style: Style = DEFAULT) -> Any:
    """Return a matplotlib figure of curves.

    Args:
        curves: the curves.
        style: the look.

    Raises:
        ConfigError: they are of different protocols.
    """
    require_one_protocol([(curve.protocol, curve.name) for curve in curves])
    with style.applied():
        lines = [
            (f"{one.name}: rank-1 {one.values[0]:.1f}, mAP {one.mAP:.1f}", 1.0 + np.arange(len(one.values)), one.values)
            for one in curves
        ]
        figure, axes = curves_in(style, lines, curves[0].protocol, markers="os^Dv")
        longest = max(len(curve.values) for curve in curves)
        axes.set_xticks([r for r in (1, 5, 10, 15, 20, 30, 40, 50) if r <= longest])
        low = min(float(curve.values[0]) for curve in curves)
        # From a multiple of ten below the lowest value; markers at the edge are whole.
        axes.set_ylim(10 * max(0, np.floor(low / 10 - 0.2)), 101.5)
        axes.set_xlabel(curves[0].counted)
        axes.set_ylabel("queries, percent")
    return figure
