"""The hook's rule for memories: they change when the step was taken, and only then."""

from argparse import Namespace
from typing import Any

import numpy as np
import pytest
import torch
from cluster_inputs import apart_batch, epoch_of, network_of_features, phase_start, phase_step
from helpers import small_cfg
from torch import Tensor

from vireid_plugins.engine.hooks.clustering import Clustering

# Scales of the loss before and after a step of float16.
TAKEN, GROWN, OVERFLOWED = (1024.0, 1024.0), (1024.0, 2048.0), (1024.0, 512.0)
# There is no scale.
FLOAT32 = (0.0, 0.0)
ASSOCIATION = {"r2i": np.arange(12) % 9, "i2r": np.arange(9)}


class FakeScaler:
    """A loss scaler whose scale moves as told when the step is over, as that of float16."""

    def __init__(self, before: float, after: float) -> None:
        self.scale, self.after = before, after

    def is_enabled(self) -> bool:
        return self.scale > 0

    def get_scale(self) -> float:
        return self.scale

    def update(self) -> None:
        self.scale = self.after


def memories_after_step(
    method: str, scales: tuple[float, float], skipped: bool = False
) -> tuple[dict[str, Tensor], ...]:
    """Take a step of a method's second stage, and return the memories before and after it."""
    cfg = small_cfg(f"SYSU/{method}.yml")
    # PGM's cross term changes memories, too.
    phase, maps = {"adca": ("adca stage2", None), "pgm": ("pgm stage2_sysu_more", ASSOCIATION)}[method]
    model = network_of_features(rule=cfg.USL.MEMORY.RULE, momentum=cfg.USL.MEMORY.MOMENTUM)
    model.begin_epoch(epoch_of(*phase_start(phase), 0, maps))
    loader: Any = Namespace(images=Namespace(modalities=[0, 1]), labeled=True)
    hook = Clustering(cfg, model, loader, lambda _: "")
    scaler = FakeScaler(*scales)
    hook.trainer = Namespace(scaler=scaler, skipped=skipped)
    assert model.epoch_state is not None
    before = {name: rows.clone() for name, rows in model.epoch_state.memories.items()}
    hook.before_step()
    rows, labels = phase_step(phase, 0)
    sum(model(apart_batch(torch.from_numpy(rows).view(32, 1, 1, 32), labels, 16)).values())
    scaler.update()
    hook.after_step()
    return before, model.epoch_state.memories


@pytest.mark.parametrize("method", ["adca", "pgm"])
@pytest.mark.parametrize(
    ("scales", "skipped"),
    [(OVERFLOWED, False), (TAKEN, True), (FLOAT32, True)],
    ids=["overflow of float16", "loss not finite, float16", "loss not finite"],
)
def test_memories_stay_when_the_step_was_skipped(method: str, scales: tuple[float, float], skipped: bool) -> None:
    before, after = memories_after_step(method, scales, skipped)
    for name, rows in before.items():
        assert torch.equal(after[name], rows), name


@pytest.mark.parametrize("method", ["adca", "pgm"])
@pytest.mark.parametrize("scales", [TAKEN, GROWN, FLOAT32], ids=["float16", "float16, the scale grows", "float32"])
def test_memories_change_when_the_step_was_taken(method: str, scales: tuple[float, float]) -> None:
    before, after = memories_after_step(method, scales)
    for name, rows in before.items():
        assert not torch.equal(after[name], rows), name
