"""Distances that stay accurate between nearly identical rows.

Shapes: `L` sets of features, `B` rows, `D` embedding.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from vireid_plugins.layers.precision import full_precision


def euclidean(x: Tensor, y: Tensor) -> Tensor:
    """Return the Euclidean distances (..., n, m) between the rows of `x` (..., n, D) and `y` (..., m, D).

    Computed from differences: the expansion x^2 + y^2 - 2xy cancels for small distances, which losses depend on. The
    gradient at distance 0 is 0.
    """
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")


class Distances:
    """Distances within sets of features, each computed once, whichever losses of a step look at them.

    A set is known by its tensor, so an instance must not outlive the step that the tensors belong to.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[Tensor, Tensor]] = {}
        self._stack: tuple[list[int], Tensor] | None = None

    def within(self, features: Sequence[Tensor]) -> Tensor:
        """Return the distances (L, B, B) between the rows of each of L sets (B, D), at least in float32.

        Sets that are not known yet are computed in one call.
        """
        keys = [id(rows) for rows in features]
        if self._stack is None or self._stack[0] != keys:
            new = [rows for key, rows in zip(keys, features, strict=True) if key not in self._known]
            if new:
                x = full_precision(stacked(new))
                distance = euclidean(x, x)
                # The features are kept, so that no other tensor gets their id.
                self._known |= {id(rows): (rows, one) for rows, one in zip(new, distance.unbind(), strict=True)}
            whole = len(new) == len(keys)
            self._stack = keys, distance if whole else stacked([self._known[key][1] for key in keys])
        return self._stack[1]


def stacked(tensors: Sequence[Tensor]) -> Tensor:
    """Return `torch.stack(tensors)`, of a single tensor without a copy."""
    return tensors[0][None] if len(tensors) == 1 else torch.stack(list(tensors))
