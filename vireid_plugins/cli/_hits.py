"""Hits of a search as a table."""

from tabulate import tabulate

from vireid_plugins.cli._common import say, say_table
from vireid_plugins.data.datasets.base import MODALITIES
from vireid_plugins.escape import escaped
from vireid_plugins.search.answers import facts_of, verdict_of
from vireid_plugins.search.calibration import Thresholds
from vireid_plugins.search.querying import QueryResult


def print_hits(result: QueryResult, guessed: bool, people: bool, thresholds: Thresholds | None) -> None:
    """Print a query and its hits.

    Args:
        result: the query and its hits.
        guessed: the query's modality was guessed.
        people: hits are people, and the number of their images is shown.
        thresholds: those of the gallery, if it was calibrated.
    """
    sure = f", {result.probability:.0%} sure" if guessed else ""
    verdict = "" if thresholds is None else f": {verdict_of(result, thresholds)}"
    say("", f"{result.query} ({MODALITIES[result.modality]}{sure}){verdict}")
    columns = ["rank", "cosine", "modality"]
    shown = [
        name
        for name in ("camera", "time", "track")
        if any(getattr(hit.record, name) not in ("", None) for hit in result.hits)
    ]
    rows = [
        [
            hit.rank,
            f"{hit.cosine:.3f}",
            MODALITIES[hit.record.modality],
            *(escaped(facts_of(hit.record)[name]) for name in shown),
            *([1 + len(hit.alike)] if people else []),
            escaped(hit.path),
        ]
        for hit in result.hits
    ]
    headers = [*columns, *shown, *(["images"] if people else []), "image"]
    say_table(tabulate(rows, headers=headers, tablefmt="plain", disable_numparse=True))
