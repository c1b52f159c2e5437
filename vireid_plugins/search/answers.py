"""Answers of a search in words and numbers: what `vireid search query --json` writes and `vireid serve` sends."""

from collections.abc import Mapping, Sequence
from typing import Any

from vireid_plugins.data.datasets.base import MODALITIES
from vireid_plugins.data.modality_guess import SURE
from vireid_plugins.io.moment import written
from vireid_plugins.search.calibration import Thresholds
from vireid_plugins.search.engines import Record
from vireid_plugins.search.querying import QueryResult
from vireid_plugins.search.tracks import Track, track_of


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
        "verdict": None if thresholds is None else verdict_of(result, thresholds),
        "hits": [
            {
                "rank": hit.rank,
                **_hit(hit.record, hit.cosine, frames),
                "alike": [_hit(*one, frames) for one in hit.alike],
            }
            for hit in result.hits
        ],
    }


def verdict_of(result: QueryResult, thresholds: Thresholds) -> str:
    """Return what the best hit of a query says: match, unsure or nobody."""
    return thresholds.verdict(result.hits[0].cosine if result.hits else None)


def facts_of(record: Record) -> dict[str, Any]:
    """Return what is known of an image besides its modality."""
    time = "" if record.time is None else written(record.time)
    return {"camera": record.camera, "time": time, "track": record.track, "columns": dict(record.extra)}


def _hit(record: Record, cosine: float, frames: Mapping[Track, Sequence[Record]]) -> dict[str, Any]:
    found = {"path": record.key, "cosine": cosine, "modality": MODALITIES[record.modality], **facts_of(record)}
    track = track_of(record)
    if track is None or track not in frames:
        return found
    return {**found, "frames": [{"path": one.key, **facts_of(one)} for one in frames[track]]}
