"""What an epoch without labels is trained with: pseudo labels, memories, associated clusters."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


def _no_labels() -> Tensor:
    return torch.empty(0, dtype=torch.int64)


@dataclass
class EpochState:
    """Labels, memories and association of an epoch; all of it is in a checkpoint, so that an epoch can be continued.

    Attributes:
        epoch: of the stage, counted from 0; the direction of an alternating cross loss follows it.
        labels: (N,) int64, the cluster of each training image in the order of the data set, numbered from 0 in each
            modality; -1: in none.
        memories: "visible" (K_V, D) and "infrared" (K_R, D), a row for each cluster; training steps change them.
        association: "r2i" (K_V,), the infrared cluster of each visible one, and "i2r" (K_R,), the reverse, int64; -1:
            none. Empty where the epoch associates nothing.
    """

    epoch: int = 0
    labels: Tensor = field(default_factory=_no_labels)
    memories: dict[str, Tensor] = field(default_factory=dict)
    association: dict[str, Tensor] = field(default_factory=dict)

    def state_dict(self) -> dict[str, Any]:
        """Return copies on the host, in tensors and plain values, that `torch.load` reads with `weights_only`."""
        return {
            "epoch": self.epoch,
            "labels": _copied(self.labels),
            "memories": {name: _copied(rows) for name, rows in self.memories.items()},
            "association": {name: _copied(partners) for name, partners in self.association.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` returned; shapes may differ from those here, since every epoch has its own."""
        self.epoch = int(state["epoch"])
        self.labels = _copied(state["labels"])
        self.memories = {name: _copied(rows) for name, rows in state["memories"].items()}
        self.association = {name: _copied(partners) for name, partners in state["association"].items()}


def _copied(x: Tensor) -> Tensor:
    return x.detach().cpu().clone()
