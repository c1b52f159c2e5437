"""Answers of a search in words and numbers: what `vireid search query --json` writes and `vireid serve` sends."""

from typing import Any

from vireid_plugins.data.datasets.base import MODALITIES
from vireid_plugins.io.moment import written
from vireid_plugins.search.calibration import Thresholds
from vireid_plugins.search.engines import Record
from vireid_plugins.search.querying import QueryResult


def as_json(result: QueryResult, thresholds: Thresholds | None) -> dict[str, Any]:
    """Return a query and its hits in words and numbers; the verdict is null without thresholds."""
    return {
        "query": result.query,
        "modality": MODALITIES[result.modality],
        "probability": result.probability,
        "verdict": None if thresholds is None else verdict_of(result, thresholds),
        "hits": [
            {"rank": hit.rank, **_hit(hit.record, hit.cosine), "alike": [_hit(*one) for one in hit.alike]}
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


def _hit(record: Record, cosine: float) -> dict[str, Any]:
    return {"path": record.key, "cosine": cosine, "modality": MODALITIES[record.modality], **facts_of(record)}
