"""The state of every random generator, saved with a checkpoint and taken up with it."""

import random
from typing import Any

import numpy as np
import torch
from fastreid.engine.train_loop import HookBase
from fastreid.utils import comm


class RandomState(HookBase):
    """Remembers, at the end of each epoch, the generators of Python, numpy and torch of all processes."""

    def __init__(self) -> None:
        self.states: list[Any] = []
        self.resumed: list[Any] = []

    def capture(self) -> None:
        """Remember the generators as they are; called by all processes."""
        self.states = comm.gather(_state())

    def after_epoch(self) -> None:
        """Remember them after what was evaluated, before anything is saved."""
        self.capture()

    def restore(self) -> None:
        """Put the generators where the resumed run had them; nothing in a run that begins, or of other processes."""
        if len(self.resumed) == comm.get_world_size():
            _restore(self.resumed[comm.get_rank()])
        self.resumed = []

    def state_dict(self) -> dict[str, Any]:
        """Return what is saved with every checkpoint: plain values, one entry a process."""
        return {"processes": self.states}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the generators of the run that is resumed; `restore` uses them."""
        self.resumed = state["processes"]


def _state() -> dict[str, Any]:
    state: Any = np.random.get_state()  # noqa: NPY002  fast-reid's parts draw from it
    kind, keys, position, has_gauss, gauss = state
    version, words, extra = random.getstate()
    return {
        "python": [version, list(words), extra],
        "numpy": [kind, torch.from_numpy(keys.astype(np.int64)), position, has_gauss, gauss],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
    }


def _restore(state: dict[str, Any]) -> None:
    version, words, extra = state["python"]
    random.setstate((version, tuple(words), extra))
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
