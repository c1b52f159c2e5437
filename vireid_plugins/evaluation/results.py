"""Results of a protocol: mean and standard deviation over trials, as a table and as JSON."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tabulate import tabulate

from vireid_plugins.evaluation.metrics import Ranking
from vireid_plugins.evaluation.open_set import CURVE, RATES, Identified, score_name, unresolved
from vireid_plugins.evaluation.protocols import Protocol
from vireid_plugins.evaluation.query_scores import QueryScores

RANKS = (1, 5, 10, 20)


def score_names(protocol: Protocol) -> list[str]:
    """Return the names of a protocol's scores."""
    open_set = [score_name(rate) for rate in RATES] if protocol.enrollments else []
    return [*(f"Rank-{r}" for r in RANKS), "mAP", "mINP", *open_set]


@dataclass(frozen=True)
class ProtocolResult:
    """Scores of every trial of one protocol.

    Attributes:
        protocol: the protocol.
        rankings: one per trial.
        split: split of a data set with splits, else None.
        postprocessing: description of query expansion, re-ranking or affinity inference; empty: none.
        metric: a key of `METRICS`.
        queries: average precision of every query; None: it was not kept.
    """

    protocol: Protocol
    rankings: list[Ranking]
    split: int | None = None
    postprocessing: str = ""
    metric: str = "cosine"
    queries: QueryScores | None = None

    @property
    def label(self) -> str:
        """The protocol's name with its note, split and post-processing."""
        note = f" ({self.protocol.note})" if self.protocol.note else ""
        split = "" if self.split is None else f" split {self.split}"
        return self.protocol.name + note + split + (f" + {self.postprocessing}" if self.postprocessing else "")

    @property
    def scores(self) -> dict[str, list[float]]:
        """Each score in percent, one per trial. With fewer than r gallery images, rank-r is the last rank.

        An open set also has a TPIR for each of `RATES`.
        """
        table = {f"Rank-{r}": [100 * k.cmc[min(r, len(k.cmc)) - 1] for k in self.rankings] for r in RANKS}
        table |= {"mAP": [100 * k.mAP for k in self.rankings], "mINP": [100 * k.mINP for k in self.rankings]}
        if self.open_sets:
            table |= {
                score_name(rate): [100 * one.tpir(one.threshold(rate)) for one in self.open_sets] for rate in RATES
            }
        return table

    @property
    def open_sets(self) -> list[Identified]:
        """What became of the queries in each draw of an open set; empty for a closed set."""
        return [ranking.open_set for ranking in self.rankings if ranking.open_set is not None]

    @property
    def means(self) -> dict[str, float]:
        """Mean of each score over the trials, in percent."""
        return {name: float(np.mean(values)) for name, values in self.scores.items()}

    @property
    def counted(self) -> int:
        """Number of queries with a match in the first trial, the same in every trial of a closed set, since all
        trials have the same identities."""
        return self.rankings[0].counted

    def as_json(self) -> dict[str, Any]:
        """Return the scores, and the settings of the protocol that define them."""
        p = self.protocol
        return {
            "protocol": p.name,
            "dataset": p.dataset,
            **({"note": p.note} if p.note else {}),
            "split": self.split,
            "direction": p.direction,
            "mode": p.mode,
            "draw": p.draw,
            "drawn": p.drawn,
            "shots": p.shots,
            "trials": len(self.rankings),
            "cmc": p.cmc,
            "drop": p.drop,
            "refinement": self.postprocessing,
            "metric": self.metric,
            "queries_counted": self.counted,
            "queries_skipped": self.rankings[0].skipped,
            "mean": self.means,
            "std": {name: float(np.std(values)) for name, values in self.scores.items()},
            "per_trial": {name: [float(value) for value in values] for name, values in self.scores.items()},
            **({"open_set": _open_set_json(self.open_sets)} if self.open_sets else {}),
        }


def _open_set_json(draws: Sequence[Identified]) -> dict[str, Any]:
    """Return the queries and thresholds of each draw, and the mean DIR curve in percent over FPIR as fractions."""
    curves = 100 * np.array([draw.dir_curve() for draw in draws])
    rates = []
    for rate in RATES:
        thresholds = [draw.threshold(rate) for draw in draws]
        reached = [draw.fpir(threshold) for draw, threshold in zip(draws, thresholds, strict=True)]
        rates.append({"score": score_name(rate), "thresholds": thresholds, "fpir": reached})
    return {
        "genuine": [int(draw.genuine.sum()) for draw in draws],
        "impostors": [int(draw.impostor.sum()) for draw in draws],
        "rates": rates,
        "dir": {"fpir": list(CURVE), "mean": curves.mean(0).tolist(), "std": curves.std(0).tolist()},
    }


def mean_and_deviation(mean: float, deviation: float, count: int) -> str:
    """Return `84.07 ± 1.12`, or the mean alone where a single value has no deviation.

    Args:
        mean: in percent.
        deviation: in percent.
        count: number of values that it is of.
    """
    return f"{mean:.2f} ± {deviation:.2f}" if count > 1 else f"{mean:.2f}"


def result_cells(results: Sequence[ProtocolResult], notes: Sequence[str] = ()) -> tuple[list[str], list[list[str]]]:
    """Return the headers and rows of a table with the mean and standard deviation over trials, in percent.

    If one of them is of an open set, there are columns of TPIR, which closed sets leave empty. A TPIR at a rate for
    which a draw has too few impostors says at which FPIR it is: 0.

    Args:
        results: one per row.
        notes: first column of each row, such as the source of the features; empty: no such column.
    """
    # Those of an open set, if there is one, are the most.
    names = max((score_names(result.protocol) for result in results), key=len, default=[])
    rows = []
    for number, result in enumerate(results):
        scores = result.scores
        cells = [
            mean_and_deviation(float(np.mean(v)), float(np.std(v)), len(v)) if (v := scores.get(name)) else ""
            for name in names
        ]
        for rate in RATES:
            if any(unresolved(int(draw.impostor.sum()), rate) for draw in result.open_sets):
                cells[names.index(score_name(rate))] += " (FPIR 0)"
        label = [notes[number]] if notes else []
        counted = sorted({ranking.counted for ranking in result.rankings})
        queries = f"{counted[0]} to {counted[-1]}" if len(counted) > 1 else str(counted[0])
        rows.append([*label, result.label, *cells, str(len(result.rankings)), queries, result.protocol.cmc])
    first = ["features"] if notes else []
    return [*first, "protocol", *names, "trials", "queries", "CMC"], rows


def result_table(results: Sequence[ProtocolResult], notes: Sequence[str] = ()) -> str:
    """Return the table of `result_cells` in Markdown."""
    headers, rows = result_cells(results, notes)
    return tabulate(rows, headers=headers, tablefmt="pipe", disable_numparse=True)
