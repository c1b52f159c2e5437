"""What an evaluation returns: the first protocol's scores, and those of every protocol under one form of name."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from fastreid.evaluation.testing import flatten_results_dict

from vireid_plugins.evaluation.results import ProtocolResult

# The mean of the first protocol's rank-1 and mAP, as in fast-reid; it picks the best checkpoint.
METRIC = "metric"


class Scores(OrderedDict[str, float]):
    """Scores of the first protocol in percent, with `metric`.

    Args:
        results: one per protocol.

    Attributes:
        results: as given.
    """

    def __init__(self, results: Sequence[ProtocolResult] = ()) -> None:
        super().__init__(results[0].means if results else {})
        self.results = list(results)
        if results:
            self[METRIC] = (self["Rank-1"] + self["mAP"]) / 2

    def by_protocol(self) -> dict[str, float]:
        """Return every score of every protocol in percent by `PROTOCOL/SCORE`, as in `sysu/official/all/1shot/mAP`."""
        return {f"{one.protocol.name}/{name}": value for one in self.results for name, value in one.means.items()}


def scalars_of(scores: Mapping[str, Any]) -> dict[str, float]:
    """Return what an evaluation adds to `metrics.json`, TensorBoard and loggers.

    That is `PROTOCOL/SCORE` for every protocol, and `metric`, or `DATA SET/metric` if there are several test sets.

    Args:
        scores: of one test set, or by data set. Those of an evaluator of other kind keep their names.
    """
    if isinstance(scores, Scores):
        return {METRIC: scores[METRIC]} | scores.by_protocol() if scores else {}
    scalars: dict[str, float] = {}
    for name, one in scores.items():
        if not isinstance(one, Scores):
            scalars |= flatten_results_dict({name: one})
        elif one:
            scalars |= {f"{name}/{METRIC}": one[METRIC]} | one.by_protocol()
    return scalars
