"""What a meta-architecture hands to the losses.

Shapes: `B` rows in the block order of `vireid_plugins.data.batch`, `D` embedding, `N` classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from vireid_plugins.data.batch import VISIBLE


@dataclass(frozen=True)
class Branch:
    """One embedding of every image: `pooled` (B, D) before the neck, `neck` (B, D) after it, `logits` (B, N)."""

    pooled: Tensor
    neck: Tensor
    logits: Tensor


@dataclass(frozen=True)
class Bundle:
    """Everything a loss may look at.

    Attributes:
        branches: the method's embeddings by name.
        targets: (B,) identities.
        modalities: (B,) 0 visible, 1 infrared, on the host.
        views: (B,) on the host.
        projection: (B, `MODEL.HEADS.PROJECTION_DIM`), where the method has one.
        extra: further tensors of a method by name.
    """

    branches: dict[str, Branch]
    targets: Tensor
    modalities: Tensor
    views: Tensor
    projection: Tensor | None = None
    extra: dict[str, Tensor] = field(default_factory=dict)

    def by_modality(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Split (B, ...) into the visible and the infrared rows; views of `rows`, as visible blocks come first."""
        return rows[: self.visible_rows], rows[self.visible_rows :]

    @property
    def visible_rows(self) -> int:
        """How many rows are visible; they come first."""
        return int((self.modalities == VISIBLE).sum())

    def stream_rows(self) -> list[int]:
        """Return how many rows each block, of one modality and view, has; read on the host."""
        _, counts = torch.unique_consecutive(2 * self.modalities + self.views, return_counts=True)
        return [int(count) for count in counts]

    def chosen(self, names: Sequence[str]) -> list[Branch]:
        """Return the branches of these names, all of them where there are no names."""
        return [branch for name, branch in self.branches.items() if not names or name in names]
