"""The moving average of a model's weights (Polyak and Juditsky, 1992; as `torch.optim.swa_utils` computes it)."""

from typing import Any

from fastreid.engine.train_loop import HookBase
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


class WeightAverage(HookBase):
    """Averages parameters and buffers, w <- d w + (1 - d) w_t, after each step; the first step sets w = w_t.

    Args:
        model: the trained model.
        decay: d (`SOLVER.EMA_DECAY`).
    """

    trainer: Any

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.trained = model.module if isinstance(model, DistributedDataParallel) else model
        self.average = AveragedModel(self.trained, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)

    @property
    def model(self) -> nn.Module:
        """The model with the averaged weights."""
        averaged: nn.Module = self.average.module
        return averaged

    def after_step(self) -> None:
        """Update the average with the weights of this step."""
        self.average.update_parameters(self.trained)

    def state_dict(self) -> dict[str, Any]:
        """Return the state to save in a checkpoint."""
        return {"model": self.model.state_dict(), "steps": int(self.average.n_averaged)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the average of the resumed run."""
        self.model.load_state_dict(state["model"])
        self.average.n_averaged.fill_(state["steps"])
