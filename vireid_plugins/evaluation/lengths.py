"""Lengths of features, computed so that they neither overflow nor underflow.

Shapes: `n` images, `D` embedding.
"""

import numpy as np
import torch

from vireid_plugins.evaluation.types import Floats, Ints

# Powers of two between which squares and their sums are exact enough in float32.
_SAFE = 40
# Rows that are looked at together.
_ROWS = 4096


def full(features: Floats) -> Floats:
    """Return the features, those of half precision as float32."""
    if features.dtype != np.float16:
        return features
    # torch converts in a third of numpy's time; a copy, since it takes no read-only array.
    converted: Floats = torch.from_numpy(np.array(features)).float().numpy()
    return converted


def normalized(features: Floats) -> Floats:
    """Return the features (n, D) divided by their L2 norms, in a new array; a row of zeros stays zero."""
    _, exponents = np.frexp(largest(features))
    scaled = features
    if len(features) and np.abs(exponents).max() > _SAFE:
        # A power of two changes no digit.
        scaled = np.ldexp(features, -exponents[:, None])
    norms = np.linalg.norm(scaled, axis=1, keepdims=True)
    unit: Floats = scaled / np.maximum(norms, np.finfo(features.dtype).tiny)
    return unit


def shrunk(features: Floats, exponents: tuple[int, int]) -> Floats:
    """Return the features (n, D) as is, or if their squares could overflow or underflow, divided, in float64.

    Dividing all features of a ranking by one number changes no order of squared distances or inner products. In
    float32, the squares of usual rows would vanish beside a huge one.

    Args:
        features: some of the rows that are ranked together.
        exponents: those of all rows that are ranked together, see `exponents_of`.
    """
    lowest, highest = exponents
    if -_SAFE <= lowest <= highest <= _SAFE:
        return features
    scaled: Floats = np.ldexp(features.astype(np.float64), -highest)
    return scaled


def exponents_of(features: Floats) -> tuple[int, int]:
    """Return the powers of two above the largest magnitudes of the smallest and the largest row of features (n, D)."""
    magnitudes = largest(features)
    powers = np.frexp(magnitudes[magnitudes > 0])[1]
    return (int(powers.min()), int(powers.max())) if len(powers) else (0, 0)


def largest(features: Floats) -> Floats:
    """Return the largest magnitude (n,) of every row; NaN if it has one."""
    # A part after the other, so that features on disk need little memory.
    parts = (full(features[start : start + _ROWS]) for start in range(0, max(len(features), 1), _ROWS))
    magnitudes: Floats = np.concatenate([np.maximum(part.max(axis=1), -part.min(axis=1)) for part in parts])
    return magnitudes


def zero_rows(features: Floats) -> Ints:
    """Return the indices of the rows of zeros."""
    return np.flatnonzero(largest(features) == 0)


def infinite_rows(features: Floats) -> Ints:
    """Return the indices of the rows with a value that is infinite or NaN."""
    return np.flatnonzero(~np.isfinite(largest(features)))
