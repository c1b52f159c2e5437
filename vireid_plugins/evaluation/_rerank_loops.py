"""Compiled loops of k-reciprocal re-ranking; see `rerank`."""

from typing import Any

import numpy as np

from vireid_plugins.evaluation._numba import compiled


@compiled
def grow(i: int, near: Any, half: Any, members: Any, core: Any, small: Any) -> Any:
    """Write the expanded k-reciprocal neighbors of image i to `members`, in no order, and return their number.

    Args:
        i: the image.
        near: (A, k1 + 1) nearest images of each image.
        half: (A, k1 / 2 + 1) nearest images.
        members: at least (k1 + 1) (k1 / 2 + 2) places.
        core: (k1 + 1,) places to work in.
        small: (k1 / 2 + 1,) places to work in.
    """
    size = 0
    for neighbor in near[i]:
        if np.any(near[neighbor] == i):
            core[size] = neighbor
            size += 1
    expanded = size
    members[:size] = core[:size]
    for candidate in core[:size]:
        few = 0
        shared: Any = 0
        for neighbor in half[candidate]:
            if np.any(half[neighbor] == candidate):
                small[few] = neighbor
                few += 1
                shared += np.any(core[:size] == neighbor)
        if shared > 2 / 3 * few:
            for neighbor in small[:few]:
                if not np.any(members[:expanded] == neighbor):
                    members[expanded] = neighbor
                    expanded += 1
    return expanded


@compiled
def expand(start: int, stop: int, scaled: Any, near: Any, half: Any, members: Any, values: Any, counts: Any) -> None:
    """Write the images, weights and counts of the rows `start` to `stop` of `rerank._encode`."""
    core = np.empty(near.shape[1], np.int64)
    small = np.empty(half.shape[1], np.int64)
    for i in range(start, stop):
        expanded = grow(i, near, half, members[i], core, small)
        members[i, :expanded].sort()
        total = 0.0
        for m in range(expanded):
            values[i, m] = np.exp(-scaled[i, members[i, m]])
            total += values[i, m]
        for m in range(expanded):
            values[i, m] /= total
        counts[i] = expanded


@compiled
def overlap(
    start: int,
    stop: int,
    query_starts: Any,
    query_columns: Any,
    query_values: Any,
    gallery_starts: Any,
    gallery_rows: Any,
    gallery_values: Any,
    distance: Any,
) -> None:
    """Write the Jaccard distances of the queries `start` to `stop`; sparse rows and columns sum to 1 or are empty."""
    for q in range(start, stop):
        row = distance[q]
        row[:] = 0
        for n in range(query_starts[q], query_starts[q + 1]):
            column, value = query_columns[n], query_values[n]
            for m in range(gallery_starts[column], gallery_starts[column + 1]):
                row[gallery_rows[m]] += min(value, gallery_values[m])
        for g in range(len(row)):
            row[g] = 1 - row[g] / (2 - row[g])
