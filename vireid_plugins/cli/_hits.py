"""Hits of a search as a table."""

from collections.abc import Mapping, Sequence

from tabulate import tabulate

from vireid_plugins.cli._common import say, say_table
from vireid_plugins.data.datasets.base import MODALITIES
from vireid_plugins.data.modality_guess import SURE
from vireid_plugins.escape import escaped
from vireid_plugins.search.answers import facts_of, verdict_of
from vireid_plugins.search.calibration import Thresholds
from vireid_plugins.search.engines import Record
from vireid_plugins.search.querying import QueryResult
from vireid_plugins.search.tracks import Track, track_of


def print_hits(
    result: QueryResult,
    guessed: bool,
    people: bool,
    thresholds: Thresholds | None,
    frames: Mapping[Track, Sequence[Record]],
) -> None:
    """Print a query and its hits.

    Args:
        result: the query and its hits.
        guessed: the query's modality was guessed.
        people: hits are people, and the number of their images is shown.
        thresholds: those of the gallery, if it was calibrated.
        frames: the images of its tracks; their number is shown.
    """
    sure = ", unsure" if guessed and result.certainty < SURE else ""
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
            *([len(frames.get(track_of(hit.record) or (0, "", ""), [hit]))] if frames else []),
            *([1 + len(hit.alike)] if people else []),
            escaped(hit.path),
        ]
        for hit in result.hits
    ]
    headers = [*columns, *shown, *(["frames"] if frames else []), *(["images"] if people else []), "image"]
    say_table(tabulate(rows, headers=headers, tablefmt="plain", disable_numparse=True))
