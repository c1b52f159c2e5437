"""Means over the images of an identity, row by row: no list of identities is ever read from a device.

Shapes: `n`, `m` rows, `D` embedding.
"""

import torch
from torch import Tensor


def centres(x: Tensor, targets: Tensor, of: Tensor) -> Tensor:
    """Return for each identity in `of` (n,) the mean (n, D) of the rows of `x` (m, D) whose `targets` (m,) equal it.

    An identity without a row has the centre 0.
    """
    same = (of[:, None] == targets).to(x.dtype)
    return same @ x / same.sum(1, keepdim=True).clamp_min(1)


def identity_weights(targets: Tensor, dtype: torch.dtype) -> Tensor:
    """Return (n,) weights 1 / number of rows of the row's identity, so that a weighted sum runs over identities."""
    return 1 / (targets[:, None] == targets).sum(1).to(dtype)


def row_norm(x: Tensor) -> Tensor:
    """Return the Euclidean norm (n,) of the rows of `x` (n, D), clamped so that the gradient at 0 is 0."""
    return x.square().sum(1).clamp_min(1e-12).sqrt()
