"""Identity centers, computed per row so that the identities in a batch never have to be copied to the host.

Shapes: `n`, `m` rows, `D` embedding.
"""

import torch
from torch import Tensor


def centers(x: Tensor, targets: Tensor, of: Tensor) -> Tensor:
    """Return the center (n, D) of each identity in `of` (n,): the mean of its rows in `x` (m, D), by `targets` (m,).

    An identity without rows has the center 0.
    """
    same = (of[:, None] == targets).to(x.dtype)
    return same @ x / same.sum(1, keepdim=True).clamp_min(1)


def identity_weights(targets: Tensor, dtype: torch.dtype) -> Tensor:
    """Return weights (n,), 1 / the number of rows of the same identity, so that each identity weighs 1 in a sum."""
    return 1 / (targets[:, None] == targets).sum(1).to(dtype)


def row_norm(x: Tensor) -> Tensor:
    """Return the Euclidean norm (...) of the rows of `x` (..., D), clamped so that the gradient at 0 is 0."""
    return x.square().sum(-1).clamp_min(1e-12).sqrt()
