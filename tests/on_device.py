"""The device of tests/gpu, $VIREID_GPU_DEVICE, and the steps that these tests take; `cpu` is a dry run."""

import copy
import functools
import os
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from fastreid.engine.train_loop import SimpleTrainer
from fastreid.modeling.meta_arch import build_model
from fastreid.utils.events import EventStorage
from helpers import ROOT, batch, begin_clusters, small_cfg, views_of

from vireid_plugins.engine.hooks.step_metrics import StepMetrics
from vireid_plugins.engine.optimizer import build_optimizer
from vireid_plugins.engine.step import TrainingStep

DEVICE = os.environ.get("VIREID_GPU_DEVICE", "cuda")
CUDA = DEVICE != "cpu"
METHODS = sorted(file.stem for file in (ROOT / "configs" / "SYSU").glob("*.yml"))
every_method = pytest.mark.parametrize("method", METHODS)
IDENTITIES = 4
# torch 2.13's bfloat16 convolution of stride 2 may give NaN on maps two pixels wide, on some CPUs (docs/speed.md).
STRIDE = ("MODEL.BACKBONE.LAST_STRIDE", "1")


@functools.lru_cache(maxsize=1)
def _built(method: str) -> torch.nn.Module:
    """Tests of one method run one after another, so one network is kept."""
    torch.manual_seed(0)
    return build_model(small_cfg(f"SYSU/{method}.yml", "MODEL.HEADS.NUM_CLASSES", str(IDENTITIES), *STRIDE))


def network(method: str, device: str = DEVICE) -> torch.nn.Module:
    """A small network of a method, in training mode; the weights are always the same."""
    model = copy.deepcopy(_built(method)).to(device).train()
    begin_clusters(model, IDENTITIES)
    return model


def batches(method: str) -> Iterator[dict[str, Any]]:
    """Endless training batches as the loader yields them: on the host, in pinned memory where there is CUDA."""
    seed = 0
    while True:
        found = batch(IDENTITIES, 2, views=views_of(small_cfg(f"SYSU/{method}.yml")), seed=seed)
        yield {key: value.pin_memory() if CUDA and key != "img_paths" else value for key, value in found.items()}
        seed += 1


class Steps:
    """The package's training step, with autocast to a type.

    Args:
        method: its network is trained.
        dtype: of autocast; None is none.
        model: by default `network(method)`.
        optimizer: by default the configuration's.
    """

    def __init__(self, method: str, dtype: torch.dtype | None, model: Any = None, optimizer: Any = None) -> None:
        self.model = network(method) if model is None else model
        cfg = small_cfg(f"SYSU/{method}.yml")
        self.optimizer = build_optimizer(cfg, self.model) if optimizer is None else optimizer
        self.trainer: Any = SimpleTrainer(self.model, batches(method), self.optimizer, None)
        self.scaler = torch.amp.GradScaler(DEVICE, enabled=dtype is torch.float16)
        # No step after the first writes metrics.
        self.metrics = StepMetrics(period=1000)
        self.metrics.trainer = self.trainer
        self.take_step = TrainingStep(self.model, self.optimizer, dtype, self.scaler)
        self.trainer.iter, self.storage = 0, EventStorage()

    def take(self) -> torch.Tensor:
        """Take a step and return its losses, where they are."""
        with self.storage:
            step = self.take_step(self.trainer._data_loader_iter)
            self.metrics.record(step)
        if hasattr(self.model, "commit_memories"):
            self.model.commit_memories()
        self.trainer.iter += 1
        self.storage.iter = self.trainer.iter
        return torch.stack(list(step.losses.values()))
