"""How similar two images are, in which order hits come, and what matches: one rule for all engines.

Engines round differently, one query is rounded otherwise than the same query in a batch, and libraries treat the
threshold's own value differently. So candidates of every engine are compared again: the cosine in float64, rounded to
six digits. Of equal cosines the smaller key comes first. A hit matches if its cosine is at least the threshold, which
has six digits too.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from vireid_plugins.search.engines.base import Candidate, Record, Vectors

# Digits after the point: float32 features of one image differ by some 2e-7 with the rest of their batch.
DIGITS = 6


class Scored(NamedTuple):
    """A record and the cosine of its vector and the query's, of DIGITS digits."""

    record: Record
    cosine: float


def cosines(query: Vectors, vectors: Vectors) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return the cosines (n,), of DIGITS digits, of a query (D,) and vectors (n, D)."""
    left, right = query.astype(np.float64), vectors.astype(np.float64)
    lengths = np.linalg.norm(left) * np.linalg.norm(right, axis=1)
    found: np.ndarray[tuple[int], np.dtype[np.float64]] = (right @ left / lengths).round(DIGITS).clip(-1, 1)
    return found


def ordered(query: Vectors, candidates: Sequence[Candidate]) -> list[Scored]:
    """Return candidates of a query (D,) in their order, best first."""
    if not candidates:
        return []
    found = cosines(query, np.stack([one.vector for one in candidates]))
    scored = [Scored(one.record, cosine) for one, cosine in zip(candidates, found.tolist(), strict=True)]
    return sorted(scored, key=lambda one: (-one.cosine, one.record.key))


def matches(cosine: float, threshold: float) -> bool:
    """Return whether a cosine is a match: at least the threshold, both of DIGITS digits."""
    return round(cosine, DIGITS) >= round(threshold, DIGITS)
