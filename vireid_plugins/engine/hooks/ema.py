"""The moving average of a model's weights (Polyak and Juditsky, 1992; as `torch.optim.swa_utils` computes it)."""

from typing import Any

from fastreid.engine.train_loop import HookBase
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


class WeightAverage(HookBase):
    """Keeps w <- d w + (1 - d) w_t of parameters and buffers after each step; the first step sets it.

    Args:
        model: what is trained.
        decay: d (`SOLVER.EMA_DECAY`).
    """

    trainer: Any

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.trained = model.module if isinstance(model, DistributedDataParallel) else model
        self.average = AveragedModel(self.trained, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)

    @property
    def model(self) -> nn.Module:
        """The model of the averaged weights."""
        averaged: nn.Module = self.average.module
        return averaged

    def after_step(self) -> None:
        """Take the weights of this step in."""
        self.average.update_parameters(self.trained)

    def state_dict(self) -> dict[str, Any]:
        """Return what is saved with every checkpoint."""
        return {"model": self.model.state_dict(), "steps": int(self.average.n_averaged)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the average of the run that is resumed."""
        self.model.load_state_dict(state["model"])
        self.average.n_averaged.fill_(state["steps"])
