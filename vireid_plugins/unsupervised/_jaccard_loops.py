"""Compiled loops of the sparse Jaccard distance; see `neighbors`."""

from typing import Any

import numpy as np

from vireid_plugins.evaluation._numba import compiled
from vireid_plugins.evaluation._rerank_loops import grow


@compiled
def encode(start: int, stop: int, features: Any, near: Any, half: Any, members: Any, values: Any, counts: Any) -> None:
    """Write the images, weights and counts of the rows `start` to `stop` of V."""
    core = np.empty(near.shape[1], np.int64)
    small = np.empty(half.shape[1], np.int64)
    grown = np.empty(members.shape[1], np.int64)
    for i in range(start, stop):
        count = grow(i, near, half, grown, core, small)
        grown[:count].sort()
        # Features longer than 1 would overflow.
        total, most = features.dtype.type(0), features.dtype.type(2)
        for m in range(count):
            members[i, m] = grown[m]
            values[i, m] = 2 * np.dot(features[i], features[grown[m]])
            most = max(most, values[i, m])
        for m in range(count):
            values[i, m] = np.exp(values[i, m] - most)
            total += values[i, m]
        for m in range(count):
            values[i, m] /= total
        counts[i] = count


@compiled
def near_rows(
    start: int,
    stop: int,
    starts: Any,
    columns: Any,
    values: Any,
    column_starts: Any,
    column_rows: Any,
    column_values: Any,
    eps: Any,
    counts: Any,
) -> Any:
    """Return the images at most `eps` from each of the rows `start` to `stop` in ascending order, and their distances.

    Their number for each row is written to `counts`. The rows and columns of V sum to 1 or are empty.
    """
    size = len(starts) - 1
    one, two = values.dtype.type(1), values.dtype.type(2)
    shared = np.zeros(size, values.dtype)
    touched = np.empty(size, np.int64)
    found = np.empty(64 * (stop - start) + size, np.int32)
    distances = np.empty(len(found), values.dtype)
    place = 0
    for i in range(start, stop):
        number = 0
        for n in range(starts[i], starts[i + 1]):
            column, value = columns[n], values[n]
            for m in range(column_starts[column], column_starts[column + 1]):
                j = column_rows[m]
                if shared[j] == 0:
                    touched[number] = j
                    number += 1
                shared[j] += min(value, column_values[m])
        if place + number > len(found):
            grown, longer = np.empty(2 * len(found), np.int32), np.empty(2 * len(found), values.dtype)
            grown[:place], longer[:place] = found[:place], distances[:place]
            found, distances = grown, longer
        before = place
        for j in np.sort(touched[:number]):
            # Rounding leaves sums of weights a little above 1.
            distance = max(one - shared[j] / (two - shared[j]), one - one)
            shared[j] = 0
            if distance <= eps:
                found[place], distances[place] = j, distance
                place += 1
        counts[i] = place - before
    return found[:place], distances[:place]
