"""Hits of a search as a table and as JSON."""

from collections.abc import Mapping, Sequence
from typing import Any

from tabulate import tabulate

from vireid_plugins.cli._common import say, say_table
from vireid_plugins.data.datasets.base import MODALITIES
from vireid_plugins.data.modality_guess import SURE
from vireid_plugins.escape import escaped
from vireid_plugins.io.moment import written
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
    verdict = "" if thresholds is None else f": {_verdict(result, thresholds)}"
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
            *(escaped(_facts(hit.record)[name]) for name in shown),
            *([len(frames.get(track_of(hit.record) or (0, "", ""), [hit]))] if frames else []),
            *([1 + len(hit.alike)] if people else []),
            escaped(hit.path),
        ]
        for hit in result.hits
    ]
    headers = [*columns, *shown, *(["frames"] if frames else []), *(["images"] if people else []), "image"]
    say_table(tabulate(rows, headers=headers, tablefmt="plain", disable_numparse=True))


def as_json(
    result: QueryResult, thresholds: Thresholds | None, frames: Mapping[Track, Sequence[Record]]
) -> dict[str, Any]:
    """Return a query and its hits in words and numbers; the verdict is null without thresholds.

    Args:
        result: the query and its hits.
        thresholds: those of the gallery, if it was calibrated.
        frames: the images of its tracks; see `vireid_plugins.search.tracks`.
    """
    return {
        "query": result.query,
        "modality": MODALITIES[result.modality],
        "modality_sure": result.certainty >= SURE,
        "verdict": None if thresholds is None else _verdict(result, thresholds),
        "hits": [
            {
                "rank": hit.rank,
                **_hit(hit.record, hit.cosine, frames),
                "alike": [_hit(*one, frames) for one in hit.alike],
            }
            for hit in result.hits
        ],
    }


def _verdict(result: QueryResult, thresholds: Thresholds) -> str:
    return thresholds.verdict(result.hits[0].cosine if result.hits else None)


def _hit(record: Record, cosine: float, frames: Mapping[Track, Sequence[Record]]) -> dict[str, Any]:
    found = {"path": record.key, "cosine": cosine, "modality": MODALITIES[record.modality], **_facts(record)}
    track = track_of(record)
    if track is None or track not in frames:
        return found
    return {**found, "frames": [{"path": one.key, **_facts(one)} for one in frames[track]]}


def _facts(record: Record) -> dict[str, Any]:
    """Return what is known of an image besides its modality."""
    time = "" if record.time is None else written(record.time)
    return {"camera": record.camera, "time": time, "track": record.track, "columns": dict(record.extra)}
