"""The registry of losses and what they share: float32 inside autocast, scale, choice of branches."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from fastreid.config import CfgNode
from fastreid.utils.registry import Registry
from torch import Tensor, nn

from vireid_plugins.config.check import registered
from vireid_plugins.errors import require_name
from vireid_plugins.layers.precision import without_autocast
from vireid_plugins.modeling.loss_inputs import Branch, LossInputs

LOSS_REGISTRY = Registry("LOSS")
LOSS_REGISTRY.__doc__ = """
Subclasses of `Loss`, chosen by `MODEL.LOSSES.NAME`. A class has an explicit keyword constructor, which
`from_config(cfg)` fills from the node of `MODEL.LOSSES` that the class names. `compute(inputs)` returns a scalar,
printed as `loss_<label>`, or a dict of scalars, printed as `loss_<key>`. The mathematics is a pure function in the same
file.
"""


class Loss(nn.Module, ABC):
    """A term of the total loss.

    Args:
        scale: its weight.
    """

    # What it is printed as, after "loss_".
    label: ClassVar[str]
    # Its node under MODEL.LOSSES.
    node: ClassVar[str]

    def __init__(self, *, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale

    @classmethod
    def from_config(cls, cfg: CfgNode) -> "Loss":
        """Build from `MODEL.LOSSES.<node>`, whose keys in lower case are the constructor's keywords."""
        return cls(**{key.lower(): value for key, value in cfg.MODEL.LOSSES[cls.node].items()})

    @abstractmethod
    def compute(self, inputs: LossInputs) -> Tensor | dict[str, Tensor]:
        """Return the unscaled value; called with autocast off."""

    def applies(self, inputs: LossInputs) -> bool:
        """Say whether the inputs has what the loss looks at."""
        return True

    def forward(self, inputs: LossInputs) -> dict[str, Tensor]:
        """Return the scaled values by their printed names, without the `loss_` in front."""
        with without_autocast(inputs.targets.device):
            value = self.compute(inputs)
        values = value if isinstance(value, dict) else {self.label: value}
        return {name: self.scale * term for name, term in values.items()}


class BranchLoss(Loss):
    """A loss on one branch at a time: the mean over the branches it is put on.

    Args:
        on: names of branches; empty is all.
        scale: its weight.
    """

    def __init__(self, *, on: Sequence[str] = (), scale: float = 1.0) -> None:
        super().__init__(scale=scale)
        self.on = tuple(on)

    @abstractmethod
    def on_branch(self, branch: Branch, inputs: LossInputs) -> Tensor:
        """Return the value on one branch, rows in the order of `inputs`; its tensors may be half precision."""

    def applies(self, inputs: LossInputs) -> bool:
        """Say whether the inputs has one of the branches."""
        return bool(inputs.chosen(self.on))

    def compute(self, inputs: LossInputs) -> Tensor:
        """Return the mean over the chosen branches."""
        return torch.stack([self.on_branch(branch, inputs) for branch in inputs.chosen(self.on)]).mean()


def build_losses(cfg: CfgNode) -> list[Loss]:
    """Build the losses of `MODEL.LOSSES.NAME`.

    Raises:
        ConfigError: no loss has that name.
    """
    losses: list[Any] = []
    for name in cfg.MODEL.LOSSES.NAME:
        require_name("MODEL.LOSSES.NAME", name, registered(LOSS_REGISTRY))
        losses.append(LOSS_REGISTRY.get(name).from_config(cfg))
    return losses
