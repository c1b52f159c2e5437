"""Contrast with memories of clusters, without labels: the meta-architecture of ADCA, PGM and their relatives.

    L = L_R + L_V + w L_X,   L(x, y; M) as in `unsupervised.memory`, x the L2-normalized BNNeck features

L_V contrasts visible features with the visible memory and L_R infrared ones with the infrared memory. L_X, where
clusters are associated, contrasts one modality with the memory of the other. All values come from the memories as they
were before the step; memories then change in the order of the released code's backward pass: cross, visible, infrared.

Shapes: `B` rows, `V` of them visible, `D` embedding, `K` clusters, `W` processes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from fastreid.config import CfgNode, configurable
from fastreid.modeling.meta_arch.build import META_ARCH_REGISTRY
from torch import Tensor

from vireid_plugins.config.check import registered
from vireid_plugins.config.keys import arguments, declare
from vireid_plugins.data.batch import NONE
from vireid_plugins.errors import ConfigError, require_name
from vireid_plugins.layers.precision import full_precision, without_autocast
from vireid_plugins.layers.processes import world_size
from vireid_plugins.modeling.baseline import CrossModalityBaseline
from vireid_plugins.modeling.heads.branch_head import as_branch
from vireid_plugins.modeling.loss_inputs import LossInputs
from vireid_plugins.modeling.losses.base import LOSS_REGISTRY
from vireid_plugins.modeling.losses.memory_contrast import MemoryContrast, MemoryInputs, MemoryTerm
from vireid_plugins.unsupervised.memory import RULES, Labels, changed
from vireid_plugins.unsupervised.state import EpochState


@dataclass(frozen=True, kw_only=True)
class MemoryOptions:
    """`USL.MEMORY`.

    Args:
        rule: how a batch changes the memories, "mean", row by row, or "hard", once per cluster with the least similar
            row.
        momentum: share of its former value that a changed row of a memory keeps.
        temperature: divisor of the similarities.
        backward: the matrix that gradients go through, "released", the memory as the released code has changed it by
            then, or "same", the one that gave the value.

    Raises:
        ConfigError: a name is unknown, or a number out of range.
    """

    rule: str = "mean"
    momentum: float = 0.1
    temperature: float = 0.05
    backward: str = "released"

    def __post_init__(self) -> None:
        require_name("USL.MEMORY.RULE", self.rule, RULES)
        require_name("USL.MEMORY.BACKWARD", self.backward, ("released", "same"))
        if not 0 <= self.momentum <= 1:
            raise ConfigError(f"USL.MEMORY.MOMENTUM: must be 0 to 1, got {self.momentum}")
        if self.temperature <= 0:
            raise ConfigError(f"USL.MEMORY.TEMPERATURE: must be above 0, got {self.temperature}")


@dataclass(frozen=True, kw_only=True)
class CrossOptions:
    """`USL.CROSS`.

    Args:
        weight: w, of the loss across the modalities, in epochs that associate clusters; 0: no such loss.
        direction: "v2r" contrasts visible features with the infrared memory, "r2v" the reverse, "both" does both, and
            "alternate" does the first in even and the second in odd epochs of the stage, counted from 0.

    Raises:
        ConfigError: the direction is unknown, or the weight negative.
    """

    weight: float = 0.25
    direction: str = "alternate"

    def __post_init__(self) -> None:
        require_name("USL.CROSS.DIRECTION", self.direction, ("alternate", "both", "v2r", "r2v"))
        if self.weight < 0:
            raise ConfigError(f"USL.CROSS.WEIGHT: must be 0 or more, got {self.weight}")

    def of_epoch(self, epoch: int) -> tuple[str, ...]:
        """Return the directions of an epoch, in the order in which they change the memories."""
        if self.direction == "alternate":
            return ("v2r", "r2v")[epoch % 2 :][:1]
        return ("v2r", "r2v") if self.direction == "both" else (self.direction,)


declare("USL.MEMORY", MemoryOptions)
declare("USL.CROSS", CrossOptions)


class Pass(NamedTuple):
    """Rows of a modality that are contrasted with a memory, and the clusters of the memory that they have.

    Attributes:
        name: of the loss.
        rows: modality of the rows.
        memory: name of the memory.
        partner: map from the rows' clusters to those of the memory; None: they are the same.
        weight: factor of the loss.
    """

    name: str
    rows: str
    memory: str
    partner: Tensor | None = None
    weight: float = 1.0


@META_ARCH_REGISTRY.register()
class ClusterContrast(CrossModalityBaseline):
    """Streams, a head without classifier, and losses against memories of clusters.

    `begin_epoch` gives the clusters of an epoch before its first step. The targets of a batch are clusters, numbered
    from 0 in each modality. A forward pass in training computes the changed memories, and `commit_memories`, after the
    optimizer's step, takes them over: a step that is skipped changes no memory.

    Args:
        memory: how memories change.
        cross: the loss across the modalities.
        instances: K of the sampler, for the order of rows of several processes.
        parts: arguments of `CrossModalityBaseline`.

    Attributes:
        epoch_state: labels, memories and association of the epoch; None before the first.
    """

    @configurable
    def __init__(self, *, memory: MemoryOptions, cross: CrossOptions, instances: int, **parts: Any) -> None:
        super().__init__(**parts)
        self.memory, self.cross, self.instances = memory, cross, instances
        self.epoch_state: EpochState | None = None
        self._changed: dict[str, Tensor] = {}
        self._labels: Labels = np.empty(0, np.int64)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Return the constructor's arguments.

        Raises:
            ConfigError: `MODEL.LOSSES.GATHER` is set, or a loss is one of identities.
        """
        for name in cfg.MODEL.LOSSES.NAME:
            # Clusters of equal number in the two modalities have nothing to do with each other.
            if name in registered(LOSS_REGISTRY) and LOSS_REGISTRY.get(name).needs != MemoryContrast.needs:
                raise ConfigError(
                    f"MODEL.LOSSES.NAME: {name} needs identities, and {cls.__name__} learns from clusters; use "
                    f"{MemoryContrast.__name__}"
                )
        if cfg.MODEL.LOSSES.GATHER:
            raise ConfigError(
                f"MODEL.LOSSES.GATHER: must be False with {cls.__name__}, whose memories see all processes anyway"
            )
        options = {
            "memory": MemoryOptions(**arguments(cfg.USL.MEMORY)),
            "cross": CrossOptions(**arguments(cfg.USL.CROSS)),
            "instances": cfg.DATALOADER.NUM_INSTANCE,
        }
        return {**super().from_config(cfg), **options}

    def begin_epoch(self, state: EpochState) -> None:
        """Train with these clusters from now on; memories move to the device of the network.

        The state stays the caller's: steps replace the tensors in its `memories`, so that it is always current.
        """
        dtype = torch.promote_types(self.pixel_mean.dtype, torch.float32)
        state.memories = {name: rows.to(self.device, dtype) for name, rows in state.memories.items()}
        self.epoch_state, self._changed = state, {}

    def commit_memories(self) -> None:
        """Take over the memories that the last forward pass computed; called after a step that was taken."""
        if self.epoch_state is not None:
            self.epoch_state.memories |= self._changed
        self._changed = {}

    def forward(self, batch: Mapping[str, Any] | Tensor) -> dict[str, Tensor] | Tensor:
        """Compute the losses of a training batch, or the features of any batch in evaluation."""
        if self.training and not isinstance(batch, Tensor):
            # On the host, where the loader leaves them: memories are changed cluster by cluster.
            self._labels = batch["targets"].cpu().numpy()
        return super().forward(batch)

    def loss_inputs(
        self, maps: dict[str, Tensor], targets: Tensor, modalities: Tensor, views: Tensor
    ) -> list[LossInputs]:
        """Return the inputs of the losses, without the terms of the memories."""
        branch = as_branch(self.heads["global"](maps["stage4"], targets))
        return [MemoryInputs({"global": branch}, targets, modalities, views, self.project(branch.pooled))]

    def loss_dict(self, inputs: list[LossInputs]) -> dict[str, Tensor]:
        """Return every loss, and compute the changed memories.

        Raises:
            ValueError: no epoch has begun, or a target is not a cluster of the epoch.
        """
        (one,) = inputs
        assert isinstance(one, MemoryInputs)
        with without_autocast(self.device):
            terms = self._terms(one)
        return super().loss_dict([replace(one, terms=terms, temperature=self.memory.temperature)])

    def passes(self, state: EpochState) -> list[Pass]:
        """Return what a step contrasts with what, in the order in which the memories change."""
        found = []
        if state.association and self.cross.weight:
            for direction in self.cross.of_epoch(state.epoch):
                rows, memory = ("visible", "infrared") if direction == "v2r" else ("infrared", "visible")
                partner = state.association["r2i" if direction == "v2r" else "i2r"]
                found.append(Pass("cross", rows, memory, partner, self.cross.weight))
        return [*found, *(Pass(name, name, name) for name in ("visible", "infrared"))]

    def _terms(self, inputs: LossInputs) -> tuple[MemoryTerm, ...]:
        """Return the terms of a step and keep the changed memories."""
        state = self.epoch_state
        if state is None:
            raise ValueError("no clusters to contrast with: call begin_epoch before the first step")
        neck = F.normalize(full_precision(inputs.branches["global"].neck))
        rows = dict(zip(("visible", "infrared"), inputs.by_modality(neck), strict=True))
        first = inputs.visible_rows
        labels = {"visible": self._labels[:first], "infrared": self._labels[first:]}
        for name, own in labels.items():
            _require_clusters(name, own, len(state.memories[name]))
        views = {"visible": 1 + int(inputs.views[:first].max()), "infrared": 1 + int(inputs.views[first:].max())}
        whole = {name: self._of_all(rows[name].detach(), labels[name], views[name]) for name in rows}
        # A network may have been moved, or made double, since the epoch began.
        before = {name: memory.to(neck) for name, memory in state.memories.items()}
        memories, terms = dict(before), []
        for one in self.passes(state):
            memory = before[one.memory]
            all_rows, all_labels = whole[one.rows]
            own, everyone = _mapped(labels[one.rows], one.partner), _mapped(all_labels, one.partner)
            terms.append(
                MemoryTerm(
                    one.name,
                    rows[one.rows],
                    torch.from_numpy(own).to(self.device, non_blocking=True),
                    memory,
                    memories[one.memory] if self.memory.backward == "released" else memory,
                    int((everyone != NONE).sum()) / world_size(),
                    one.weight,
                )
            )
            memories[one.memory] = changed(
                memories[one.memory], all_rows, everyone, rule=self.memory.rule, momentum=self.memory.momentum
            )
        self._changed = memories
        return tuple(terms)

    def _of_all(self, rows: Tensor, labels: Labels, views: int) -> tuple[Tensor, Labels]:
        """Return the rows and labels of all processes in the order of a single one.

        The sampler deals out clusters to the processes one by one: (W, views, K_of_batch / W, images of a cluster).
        """
        if world_size() == 1:
            return rows, labels
        joined = []
        for one in (rows.contiguous(), torch.from_numpy(labels).to(rows.device)):
            parts = [torch.empty_like(one) for _ in range(world_size())]
            dist.all_gather(parts, one)
            split = torch.stack(parts).view(len(parts), views, -1, self.instances, *one.shape[1:])
            joined.append(split.movedim(0, 2).reshape(-1, *one.shape[1:]))
        return joined[0], joined[1].cpu().numpy()

    def _log_accuracy(self, inputs: LossInputs) -> None:
        """Log nothing: there is no classifier."""


def _require_clusters(name: str, labels: Labels, count: int) -> None:
    if len(labels) and not (labels.min() >= 0 and labels.max() < count):
        raise ValueError(
            f"{name} targets {labels.min()} to {labels.max()} are not the {count} {name} clusters of the epoch"
        )


def _mapped(labels: Labels, partner: Tensor | None) -> Labels:
    """Return the partners of clusters (B,), which may be -1; without a map, the clusters."""
    return labels if partner is None else partner.cpu().numpy()[labels]
