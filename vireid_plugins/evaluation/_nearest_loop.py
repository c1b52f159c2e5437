"""Compiled loop that finds the nearest gallery image of each query; see `nearest`."""

from typing import Any

from vireid_plugins.evaluation._numba import compiled


@compiled
def lower(
    start: int,
    stop: int,
    distance: Any,
    rows: Any,
    columns: Any,
    query_ids: Any,
    query_cams: Any,
    gallery_ids: Any,
    gallery_cams: Any,
    pairs: Any,
    same_camera: bool,
    best: Any,
) -> None:
    """Lower `best` (Q,) to the smallest distance of the queries `start` to `stop` that no camera rule excludes."""
    for q in range(start, stop):
        row, low = distance[rows[q]], best[q]
        for g in range(len(columns)):
            near = row[columns[g]]
            # Rarely true, so the rules cost nothing.
            if near < low:
                hidden = same_camera and gallery_ids[g] == query_ids[q] and gallery_cams[g] == query_cams[q]
                for p in range(len(pairs)):
                    hidden |= pairs[p, 0] == query_cams[q] and pairs[p, 1] == gallery_cams[g]
                if not hidden:
                    low = near
        best[q] = low
