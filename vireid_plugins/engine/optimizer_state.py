"""The optimizer and the schedule in a checkpoint: states are restored, rates are those of the configuration."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from vireid_plugins.engine.checkpoint_content import BrokenCheckpointError

# Options of a group that follow the configuration on resume: SOLVER.BASE_LR, SOLVER.MOMENTUM, SOLVER.NESTEROV. The
# other options of the configuration are bound by the checkpoint, or are torch's own.
CONFIGURED = ("initial_lr", "momentum", "nesterov")


class OptimizerState:
    """Saves and restores an optimizer.

    torch restores the options of the groups too, so that a resumed run would silently keep the rates of the former one.

    Args:
        optimizer: the optimizer, with the options of the configuration.
    """

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.optimizer = optimizer

    def state_dict(self) -> dict[str, Any]:
        """Return the state to save in a checkpoint."""
        return self.optimizer.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state of each parameter.

        Raises:
            BrokenCheckpointError: the state is that of other parameters.
        """
        given = [{name: group[name] for name in CONFIGURED if name in group} for group in self.optimizer.param_groups]
        self.optimizer.load_state_dict(state)
        for group, options in zip(self.optimizer.param_groups, given, strict=True):
            group.update(options)
        for parameter, values in self.optimizer.state.items():
            if isinstance(values, Mapping) and not all(_belongs(value, parameter) for value in values.values()):
                raise BrokenCheckpointError("'optimizer' has the state of a parameter of another shape")


def _belongs(value: object, parameter: Tensor) -> bool:
    """Return whether a value is a number, or has the shape of its parameter."""
    return not isinstance(value, Tensor) or value.ndim == 0 or value.shape == parameter.shape


class ScheduleState:
    """Saves and restores a schedule; torch would let a state replace any of its attributes.

    Args:
        schedule: the schedule of the configuration.
    """

    def __init__(self, schedule: torch.optim.lr_scheduler.LambdaLR) -> None:
        self.schedule = schedule

    def state_dict(self) -> dict[str, Any]:
        """Return the state to save in a checkpoint."""
        return self.schedule.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the position; `set_position` sets the rates.

        Raises:
            BrokenCheckpointError: the state is not that of a schedule.
        """
        own = self.schedule.state_dict()
        if wrong := [key for key in own if key in state and not isinstance(state[key], type(own[key]))]:
            raise BrokenCheckpointError(f"'lr_sched' has another type of {wrong[0]}: {state[wrong[0]]!r:.60}")
        self.schedule.load_state_dict({key: value for key, value in state.items() if key != "optimizer"})


def set_position(schedule: torch.optim.lr_scheduler.LambdaLR, iteration: int) -> None:
    """Move a schedule to an iteration of the run, with the rates of the configuration.

    Of an unchanged configuration the rates are bit for bit those that the schedule had there.

    Args:
        schedule: the schedule of the configuration.
        iteration: zero-based, the next one that is taken.
    """
    groups = schedule.optimizer.param_groups
    schedule.base_lrs = [group["initial_lr"] for group in groups]
    schedule.last_epoch = iteration
    rates = [base * factor(iteration) for base, factor in zip(schedule.base_lrs, schedule.lr_lambdas, strict=True)]
    for group, rate in zip(groups, rates, strict=True):
        group["lr"] = rate
    schedule._last_lr = rates
