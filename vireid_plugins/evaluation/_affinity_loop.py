"""Compiled loop of affinity inference; see `affinity`."""

from typing import Any

from vireid_plugins.evaluation._numba import compiled


@compiled
def subtract_products(
    start: int,
    stop: int,
    left_starts: Any,
    left_columns: Any,
    left_values: Any,
    right_starts: Any,
    right_rows: Any,
    right_values: Any,
    distance: Any,
) -> None:
    """Subtract the rows `start` to `stop` of left @ right from `distance`; left is sparse by rows, right by rows too.

    Row c of `right` holds what column c of `left` is multiplied by.
    """
    for q in range(start, stop):
        row = distance[q]
        for n in range(left_starts[q], left_starts[q + 1]):
            column, value = left_columns[n], left_values[n]
            for m in range(right_starts[column], right_starts[column + 1]):
                row[right_rows[m]] -= value * right_values[m]
