"""Lengths of features, computed so that they neither overflow nor underflow.

Shapes: `n` images, `D` embedding.
"""

import numpy as np

from vireid_plugins.evaluation.types import Floats, Ints

# Powers of two between which squares and their sums are exact enough in float32.
_SAFE = 40


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


def shrunk(features: Floats, exponent: int) -> Floats:
    """Return the features (n, D) divided by 2 ** exponent if their squares could overflow or underflow, else as is.

    Dividing all features of a ranking by one number changes no order of squared distances or inner products.
    """
    scaled: Floats = np.ldexp(features, -exponent) if abs(exponent) > _SAFE else features
    return scaled


def exponent(features: Floats) -> int:
    """Return the power of two above the largest magnitude of the features (n, D)."""
    return int(np.frexp(largest(features).max(initial=0))[1])


def largest(features: Floats) -> Floats:
    """Return the largest magnitude (n,) of every row."""
    magnitudes: Floats = np.maximum(features.max(axis=1), -features.min(axis=1))
    return magnitudes


def zero_rows(features: Floats) -> Ints:
    """Return the indices of the rows of zeros."""
    return np.flatnonzero(largest(features) == 0)


def infinite_rows(features: Floats) -> Ints:
    """Return the indices of the rows with a value that is infinite or NaN."""
    return np.flatnonzero(~np.isfinite(features).all(axis=1))
