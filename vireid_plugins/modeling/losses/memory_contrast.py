"""The contrastive loss against memories of clusters (Cluster Contrast, ACCV 2022); see `unsupervised.memory`."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from vireid_plugins.modeling.loss_inputs import LossInputs
from vireid_plugins.modeling.losses.base import LOSS_REGISTRY, Loss, weighted
from vireid_plugins.unsupervised.memory import contrast


@dataclass(frozen=True)
class MemoryTerm:
    """Rows of a modality and the memory that they are contrasted with.

    Attributes:
        name: that the term is logged with; terms of one name are added.
        rows: (B, D), L2-normalized, at least in float32.
        labels: (B,) clusters of the memory; -1: none.
        memory: (K, D) that gives the value.
        through: (K, D) that the gradient goes through.
        count: rows with a label, in several processes the mean over them.
        weight: factor.
    """

    name: str
    rows: Tensor
    labels: Tensor
    memory: Tensor
    through: Tensor
    count: float
    weight: float = 1.0


@dataclass(frozen=True, kw_only=True)
class MemoryInputs(LossInputs):
    """Inputs of `MemoryContrast`: a term for each memory that rows are contrasted with, and the temperature."""

    terms: tuple[MemoryTerm, ...] = ()
    temperature: float = 0.05


@LOSS_REGISTRY.register()
class MemoryContrast(Loss):
    """`contrast` of each term with its memory; temperature, rule and momentum are keys of `USL.MEMORY`."""

    needs: ClassVar[str] = "memories of clusters (MemoryInputs)"

    def applies(self, inputs: LossInputs) -> bool:
        """Return whether the method keeps memories."""
        return isinstance(inputs, MemoryInputs)

    def compute(self, inputs: LossInputs) -> dict[str, Tensor]:
        """Return the terms by name."""
        assert isinstance(inputs, MemoryInputs)
        values: dict[str, Tensor] = {}
        for term in inputs.terms:
            value = contrast(
                term.rows,
                term.labels,
                term.memory,
                temperature=inputs.temperature,
                through=term.through,
                count=term.count,
            )
            value = weighted(term.weight, value)
            values[term.name] = values[term.name] + value if term.name in values else value
        return values
