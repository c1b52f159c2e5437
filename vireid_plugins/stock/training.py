"""Patches of fast-reid's optimizer, schedule, training step and checkpoints."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from fastreid.engine import DefaultTrainer, hooks, train_loop
from fastreid.solver import build as solver

from vireid_plugins.compat.registry import Replacement, register_patch
from vireid_plugins.engine.hooks.layer_freeze import LayerFreeze
from vireid_plugins.engine.optimizer import merged_groups
from vireid_plugins.engine.run_files import BEST
from vireid_plugins.engine.step import TrainingStep
from vireid_plugins.io.weight_file import read_weight_file


class PlainParams:
    """Replaces the contiguous parameter buffer in fast-reid's optimizer builder.

    Args:
        groups: parameter groups.
    """

    def __init__(self, groups: list[dict[str, Any]]) -> None:
        self.groups = merged_groups(groups)

    def contiguous(self) -> list[dict[str, Any]]:
        """Return the groups, merged if they have the same settings."""
        return self.groups


@register_patch(
    "on torch 2 the weights silently never change, because gradients set to None detach fast-reid's contiguous buffer; "
    'under AMP: "No inf checks were recorded"',
    "the optimizer receives the parameters themselves, in few groups",
    where="`fastreid/solver/build.py:180`, `fastreid/utils/params.py:67`, `fastreid/engine/train_loop.py:248`.",
)
def contiguous() -> list[Replacement]:
    """Return the replacements."""
    return [Replacement(solver, "ContiguousParams", PlainParams)]


def _absolute(after_epoch: Callable[[Any], None]) -> Callable[[Any], None]:
    def stepped(self: Any) -> None:
        if isinstance(self._scheduler["lr_sched"], torch.optim.lr_scheduler.MultiStepLR):
            self._scheduler["lr_sched"].step()
        else:
            after_epoch(self)

    return stepped


@register_patch(
    "SOLVER.STEPS count from the end of warm-up or delay: [5, 8] after three warm-up epochs drop at 7 and 10",
    "SOLVER.STEPS count from the start of the run, as in papers",
    where="`fastreid/engine/hooks.py:263`.",
)
def schedule() -> list[Replacement]:
    """Return the replacements."""
    return [Replacement(hooks.LRScheduler, "after_epoch", _absolute(hooks.LRScheduler.after_epoch))]


def _with_scaler(init: Callable[..., None]) -> Callable[..., None]:
    def built(
        self: Any, model: Any, data_loader: Any, optimizer: Any, param_wrapper: Any, grad_scaler: Any = None
    ) -> None:
        scaler = grad_scaler or torch.amp.GradScaler(next(model.parameters()).device.type)
        init(self, model, data_loader, optimizer, param_wrapper, scaler)

    return built


def _amp_step(self: Any) -> None:
    device = next(self.model.parameters()).device.type
    # torch's default autocast types: float16 on CUDA, bfloat16 on the CPU.
    take_step = TrainingStep(self.model, self.optimizer, torch.get_autocast_dtype(device), self.grad_scaler)
    step = take_step(self._data_loader_iter)
    self._write_metrics(step.losses, step.waited)


@register_patch(
    "AMP needs CUDA, calls deprecated functions, and clips gradients before they are unscaled",
    "uses torch.amp on the model's device (float16 on CUDA, bfloat16 on the CPU) and unscales gradients first",
    where="`fastreid/engine/train_loop.py:325`, `fastreid/solver/build.py:65`.",
)
def amp() -> list[Replacement]:
    """Return the replacements."""
    trainer = train_loop.AMPTrainer
    return [
        Replacement(trainer, "__init__", _with_scaler(trainer.__init__)),
        Replacement(trainer, "run_step", _amp_step),
    ]


def _nothing_frozen(cfg: Any, optimizer: Any) -> Any:
    return optimizer


@register_patch(
    "MODEL.FREEZE_LAYERS: nested batch norms are not frozen, others only until the first evaluation; the count of "
    "iterations restarts on resume",
    "freezes the named layers entirely, counting iterations of the whole run",
    where="`fastreid/engine/hooks.py:469`, `fastreid/solver/build.py:125`.",
)
def freeze() -> list[Replacement]:
    """Return the replacements."""
    return [
        Replacement(hooks, "LayerFreeze", LayerFreeze),
        Replacement(solver, "maybe_add_freeze_layer", _nothing_frozen),
    ]


def _resumed(resume_or_load: Callable[..., None]) -> Callable[..., None]:
    def resumed(self: Any, resume: bool = True) -> None:
        scaler = self.grad_scaler
        if scaler is not None:
            self.checkpointer.checkpointables.setdefault("grad_scaler", scaler)
        resume_or_load(self, resume)
        best = Path(self.cfg.OUTPUT_DIR) / f"{BEST}.pth"
        if self.start_epoch > 0 and best.is_file():
            for hook in self._hooks:
                if isinstance(hook, hooks.PeriodicCheckpointer):
                    hook.best_metric = float(read_weight_file(best).get("metric", hook.best_metric))

    return resumed


@register_patch(
    "a resumed run forgets its best score and overwrites model_best; the AMP scaler restarts from its initial state",
    "restores both",
    where="`fastreid/utils/checkpoint.py:317`, `fastreid/engine/defaults.py`.",
)
def resume() -> list[Replacement]:
    """Return the replacements."""
    return [Replacement(DefaultTrainer, "resume_or_load", _resumed(DefaultTrainer.resume_or_load))]
