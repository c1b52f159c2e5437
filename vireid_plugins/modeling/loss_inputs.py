"""The inputs that a meta-architecture passes to the losses.

Shapes: `B` rows in the block order of `vireid_plugins.data.batch`, `D` embedding, `N` classes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from torch import Tensor

from vireid_plugins.data.batch import VISIBLE
from vireid_plugins.layers.distances import Distances

# Losses on the inputs of this name are logged without it: `loss_cpm`, not `loss_main_cpm`.
MAIN = "main"
Part = TypeVar("Part")


@dataclass(frozen=True)
class Branch:
    """One embedding of every image: `pooled` (B, D) before the BNNeck, `neck` (B, D) after it, `logits` (B, N)."""

    pooled: Tensor
    neck: Tensor
    logits: Tensor


@dataclass(frozen=True)
class LossInputs:
    """Everything that a loss may use. A method whose losses need more has a subclass with more fields.

    Attributes:
        branches: the method's embeddings by name.
        targets: (B,) identities.
        modalities: (B,) 0 visible, 1 infrared, on the host.
        views: (B,) on the host.
        projection: (B, `MODEL.HEADS.PROJECTION_DIM`), or None.
        name: prefix of the names of the losses, unless it is `MAIN`.
        weight: factor of every loss on these inputs.
        shared_distances: distances between rows that the losses of this step have computed; None shares none.
    """

    branches: Mapping[str, Branch]
    targets: Tensor
    modalities: Tensor
    views: Tensor
    projection: Tensor | None = None
    name: str = MAIN
    weight: float = 1.0
    shared_distances: Distances | None = field(default=None, repr=False, compare=False)

    def by_modality(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Split (B, ...) into visible and infrared rows, without a copy, as visible blocks come first."""
        return rows[: self.visible_rows], rows[self.visible_rows :]

    @cached_property
    def visible_rows(self) -> int:
        """Number of visible rows; they come first."""
        return int((self.modalities.numpy() == VISIBLE).sum())

    @property
    def distances(self) -> Distances:
        """Distances within sets of rows, shared by the losses of a training step."""
        return Distances() if self.shared_distances is None else self.shared_distances

    @cached_property
    def same(self) -> Tensor:
        """(B, B), true where two rows have the same identity."""
        return self.targets[:, None] == self.targets

    def stream_rows(self) -> list[int]:
        """Return the number of rows of each block, one per modality and view; read on the host."""
        streams = 2 * self.modalities.numpy() + self.views.numpy()
        starts = np.flatnonzero(np.diff(streams, prepend=-1))
        return [int(count) for count in np.diff(starts, append=len(streams))]

    def mapped(self, change: Callable[[Tensor], Tensor], on_host: Callable[[Tensor], Tensor]) -> "LossInputs":
        """Return these inputs with every tensor changed, including those of subclasses.

        Args:
            change: applied to tensors on the network's device.
            on_host: applied to `modalities` and `views`.
        """
        changed: dict[str, Any] = {"modalities": on_host(self.modalities), "views": on_host(self.views)}
        others = [one.name for one in fields(self) if one.name not in changed]
        changed |= {name: map_tensors(getattr(self, name), change) for name in others}
        # Other tensors have other distances.
        changed["shared_distances"] = None
        return replace(self, **changed)


def map_tensors(part: Part, change: Callable[[Tensor], Tensor]) -> Part:
    """Return `part` with `change` applied to every tensor in its fields, mappings and sequences."""
    changed: Any = part
    if isinstance(part, Tensor):
        changed = change(part)
    elif is_dataclass(part) and not isinstance(part, type):
        changed = replace(part, **{one.name: map_tensors(getattr(part, one.name), change) for one in fields(part)})
    elif isinstance(part, Mapping):
        changed = {key: map_tensors(value, change) for key, value in part.items()}
    elif isinstance(part, tuple | list):
        changed = type(part)(map_tensors(value, change) for value in part)
    return changed  # type: ignore[no-any-return]
