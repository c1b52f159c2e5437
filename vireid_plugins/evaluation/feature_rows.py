"""Features that are prepared where they are read, so that a large gallery needs no second copy in memory.

Shapes: `n` images, `D` embedding.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from vireid_plugins.evaluation import lengths
from vireid_plugins.evaluation.types import Floats, Ints


class FeatureRows:
    """Rows of a matrix of features, as their metric compares them.

    Args:
        matrix: (m, D) checked features, in memory or mapped from a file; half precision is read as float32.
        prepare: makes rows comparable, each by itself: `lengths.normalized`, or `lengths.shrunk` by the exponents of
            all features.
        rows: (n,) the rows to use, -1 for an image without features, which are zero; all by default.
    """

    def __init__(self, matrix: Floats, prepare: Callable[[Floats], Floats], rows: Ints | None = None) -> None:
        self.matrix, self.prepare, self.rows = matrix, prepare, rows

    def __len__(self) -> int:
        return len(self.matrix if self.rows is None else self.rows)

    def at(self, positions: "Ints | slice") -> Floats:
        """Return the prepared features at some positions."""
        rows: Any = positions if self.rows is None else self.rows[positions]
        features = lengths.full(self.matrix[rows])
        if self.rows is not None and (rows < 0).any():
            features = features * (rows >= 0)[:, None]
        return self.prepare(features)

    def whole(self) -> Floats:
        """Return the prepared features (n, D) of all rows."""
        return self.at(slice(None))


def comparable(metric: str, exponents: tuple[int, int]) -> Callable[[Floats], Floats]:
    """Return what makes rows comparable under a metric, given the exponents of all features in the ranking."""
    if metric == "cosine":
        return lengths.normalized
    return lambda features: lengths.shrunk(features, exponents)


def row_or_slice(rows: Ints) -> "Ints | slice":
    """Return rows as a slice, which copies nothing, if they follow each other."""
    if len(rows) and rows[-1] - rows[0] == len(rows) - 1 and bool((np.diff(rows) == 1).all()):
        return slice(int(rows[0]), int(rows[-1]) + 1)
    return rows
