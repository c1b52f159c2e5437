"""The registry of losses and their base classes: keys, names, float32 inside autocast, scale, mean over branches."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, overload

import torch
from fastreid.config import CfgNode
from torch import Tensor, nn

from vireid_plugins.config.check import registered
from vireid_plugins.config.keys import KeyedRegistry, arguments, snake_case
from vireid_plugins.errors import ConfigError, require_name
from vireid_plugins.layers.precision import without_autocast
from vireid_plugins.modeling.loss_inputs import Branch, LossInputs
from vireid_plugins.modeling.losses.on_embeddings import MissingInputError, inputs_of

LOSS_REGISTRY = KeyedRegistry("LOSS", "MODEL.LOSSES")
LOSS_REGISTRY.__doc__ = """
Subclasses of `Loss`, chosen by `MODEL.LOSSES.NAME`. The keyword-only parameters of a class, such as `HardTriplet`, are
the keys of its node, `MODEL.LOSSES.HARD_TRIPLET`, and described in its docstring. `compute(inputs)` returns a scalar,
logged as `loss_hard_triplet`, or a dict of scalars, logged as `loss_<key>`. The mathematics is a pure function in the
same file.
"""


class Loss(nn.Module, ABC):
    """A term of the total loss.

    In a training it is called with `LossInputs`. Outside of one, `loss(embeddings, labels, modalities)` is its value on
    embeddings (B, D) in any order, for losses that look at nothing else.

    Args:
        scale: weight of the loss.
    """

    # What it looks at that no embeddings have, for messages.
    needs: ClassVar[str] = ""

    def __init__(self, *, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale

    @classmethod
    def from_config(cls, cfg: CfgNode) -> "Loss":
        """Build from the node of `MODEL.LOSSES`, whose keys are the constructor's keywords."""
        return cls(**arguments(cfg.MODEL.LOSSES[cls.node()]))

    @classmethod
    def node(cls) -> str:
        """Return the name of the class's node under `MODEL.LOSSES`."""
        return snake_case(cls.__name__).upper()

    @abstractmethod
    def compute(self, inputs: LossInputs) -> Tensor | dict[str, Tensor]:
        """Return the unscaled value; called with autocast off."""

    def applies(self, inputs: LossInputs) -> bool:
        """Return whether the inputs have what the loss needs."""
        return True

    @overload
    def __call__(self, inputs: LossInputs) -> dict[str, Tensor]: ...

    @overload
    def __call__(
        self, inputs: Tensor, labels: Tensor | Sequence[int], modalities: Tensor | Sequence[int]
    ) -> Tensor: ...

    def __call__(self, inputs: LossInputs | Tensor, *labels: Any, **named: Any) -> dict[str, Tensor] | Tensor:
        """Call `forward` with `LossInputs`, and `on_embeddings` with embeddings."""
        if isinstance(inputs, Tensor):
            return self.on_embeddings(inputs, *labels, **named)
        values: dict[str, Tensor] = super().__call__(inputs)
        return values

    def on_embeddings(
        self, embeddings: Tensor, labels: Tensor | Sequence[int], modalities: Tensor | Sequence[int]
    ) -> Tensor:
        """Return the scaled value, with several terms their sum.

        Args:
            embeddings: (B, D).
            labels: (B,) identities.
            modalities: (B,) 0 visible, 1 infrared.

        Raises:
            ConfigError: shapes do not match, or the loss needs more than embeddings; the message says what.
        """
        inputs = inputs_of(embeddings, labels, modalities)
        try:
            if not self.applies(inputs):
                raise MissingInputError(self.needs or "what its method computes")
            values = self(inputs)
        except MissingInputError as error:
            name = type(self).__name__
            raise ConfigError(
                f"{name} needs {error}, not embeddings alone; train with it (MODEL.LOSSES.NAME), or call "
                f"{name}.compute with a LossInputs that has them"
            ) from None
        return torch.stack(list(values.values())).sum()

    def forward(self, inputs: LossInputs) -> dict[str, Tensor]:
        """Return the scaled values by the names they are logged with, without the prefix `loss_`."""
        with without_autocast(inputs.targets.device):
            value = self.compute(inputs)
        values = value if isinstance(value, dict) else {snake_case(type(self).__name__): value}
        return {name: weighted(self.scale, term) for name, term in values.items()}

    def terms(self, inputs: Sequence[LossInputs]) -> list[dict[str, Tensor]]:
        """Return the scaled values on each of several inputs of a step, as `forward` does on one."""
        return [self(one) for one in inputs]


def weighted(weight: float, value: Tensor) -> Tensor:
    """Return `weight * value`; a weight of 1 costs nothing.

    Args:
        weight: of the loss.
        value: () or (n,), one loss or several.
    """
    return value if weight == 1 else weight * value


def mean_of(values: Sequence[Tensor]) -> Tensor:
    """Return the mean of scalars; that of one is itself."""
    return values[0] if len(values) == 1 else torch.stack(list(values)).mean()


class BranchLoss(Loss):
    """A loss that is computed on each branch and averaged over the branches."""

    @abstractmethod
    def on_branch(self, branch: Branch, inputs: LossInputs) -> Tensor:
        """Return the loss of one branch, rows in the order of `inputs`; its tensors may be in half precision."""

    def applies(self, inputs: LossInputs) -> bool:
        """Return whether the inputs have a branch for the loss."""
        return bool(self.branches(inputs))

    def branches(self, inputs: LossInputs) -> list[Branch]:
        """Return the branches that the loss uses; all by default."""
        return list(inputs.branches.values())

    def on_branches(self, branches: Sequence[Branch], inputs: LossInputs) -> Sequence[Tensor]:
        """Return the loss of each branch."""
        return [self.on_branch(branch, inputs) for branch in branches]

    def compute(self, inputs: LossInputs) -> Tensor:
        """Return the mean over the branches."""
        return mean_of(self.on_branches(self.branches(inputs), inputs))

    def terms(self, inputs: Sequence[LossInputs]) -> list[dict[str, Tensor]]:
        """Return the scaled values on each of several inputs; branches of the same images are computed together."""
        rows = [(id(one.targets), id(one.modalities), id(one.views)) for one in inputs]
        if len(inputs) == 1 or len(set(rows)) > 1:
            return super().terms(inputs)
        branches = [self.branches(one) for one in inputs]
        with without_autocast(inputs[0].targets.device):
            values = iter(self.on_branches([branch for some in branches for branch in some], inputs[0]))
            means = [mean_of([next(values) for _ in some]) for some in branches]
        return [{snake_case(type(self).__name__): weighted(self.scale, mean)} for mean in means]


class StackedLoss(BranchLoss):
    """A branch loss that computes branches of one shape in one call, whatever their number."""

    # The tensor of a `Branch` that the loss takes.
    takes: ClassVar[str] = "pooled"

    @abstractmethod
    def on_tensors(self, tensors: Sequence[Tensor], inputs: LossInputs) -> Tensor:
        """Return the losses (L,) of L tensors (B, D) of one shape, which may be in half precision."""

    def on_branch(self, branch: Branch, inputs: LossInputs) -> Tensor:
        """Return the loss of one branch."""
        return self.on_branches([branch], inputs)[0]

    def on_branches(self, branches: Sequence[Branch], inputs: LossInputs) -> Sequence[Tensor]:
        """Return the loss of each branch."""
        tensors: list[Tensor] = [getattr(branch, self.takes) for branch in branches]
        if len({one.shape for one in tensors}) == 1:
            return self.on_tensors(tensors, inputs).unbind()
        return [self.on_tensors([one], inputs)[0] for one in tensors]


def build_losses(cfg: CfgNode) -> list[Loss]:
    """Build the losses of `MODEL.LOSSES.NAME`.

    Raises:
        ConfigError: no loss has that name, there is none, or one is given twice.
    """
    names = list(cfg.MODEL.LOSSES.NAME)
    if not names or len(set(map(str, names))) < len(names):
        raise ConfigError(f"MODEL.LOSSES.NAME: needs one or more different losses, got {names}")
    losses: list[Any] = []
    for name in cfg.MODEL.LOSSES.NAME:
        require_name("MODEL.LOSSES.NAME", name, registered(LOSS_REGISTRY))
        losses.append(LOSS_REGISTRY.get(name).from_config(cfg))
    return losses
