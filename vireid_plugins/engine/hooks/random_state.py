"""The state of every random generator, saved in a checkpoint and restored on resume."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from fastreid.engine.train_loop import HookBase
from fastreid.utils import comm


class RandomState(HookBase):
    """Captures the random generators of Python, numpy and torch in all processes at the end of each epoch."""

    def __init__(self) -> None:
        self.states: list[Any] = []
        self.resumed: list[Any] = []

    def capture(self) -> None:
        """Capture the current state of the generators; must be called by all processes."""
        self.states = comm.gather(_state())

    def after_epoch(self) -> None:
        """Capture the generators after the evaluation and before the checkpoint."""
        self.capture()

    def restore(self) -> None:
        """Restore the generators of the resumed run; do nothing in a new run or if the number of processes differs."""
        if len(self.resumed) == comm.get_world_size():
            _restore(self.resumed[comm.get_rank()])
        self.resumed = []

    def state_dict(self) -> dict[str, Any]:
        """Return the state to save in a checkpoint, with one entry per process."""
        return {"processes": self.states}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Keep the states of the resumed run until `restore` is called.

        What cannot be restored raises now, from generators that nobody draws from.
        """
        for one in state["processes"]:
            _restore(one, random.Random(), np.random.RandomState(), torch.Generator())
        self.resumed = state["processes"]


@contextmanager
def unchanged() -> Iterator[None]:
    """Leave the generators of this process after a `with` block as they were before it."""
    state = _state()
    yield
    _restore(state)


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


def _restore(
    state: dict[str, Any],
    python: Any = random,
    numpy: Any = np.random,
    generator: torch.Generator | None = None,
) -> None:
    """Restore generators, by default those that everything draws from; only these have a CUDA one."""
    version, words, extra = state["python"]
    python.setstate((version, tuple(words), extra))
    kind, keys, *rest = state["numpy"]
    numpy.set_state((kind, keys.numpy().astype(np.uint32), *rest))
    (generator.set_state if generator else torch.set_rng_state)(state["torch"])
    if state["cuda"] is not None and torch.cuda.is_available() and generator is None:
        torch.cuda.set_rng_state(state["cuda"])
