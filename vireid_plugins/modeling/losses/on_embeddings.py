"""Inputs of a loss that is called on embeddings, outside a training of this package."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from vireid_plugins.errors import ConfigError
from vireid_plugins.modeling.loss_inputs import Branch, LossInputs


class MissingInputError(Exception):
    """A loss has read something that embeddings alone do not have; the argument says what."""


class Missing:
    """Stands for what embeddings alone do not have; whoever reads it gets a `MissingInputError`.

    Args:
        what: what it stands for.
    """

    def __init__(self, what: str) -> None:
        self._what = what

    def __getattr__(self, name: str) -> Any:
        raise MissingInputError(self._what)


def inputs_of(embeddings: Tensor, labels: Tensor | Sequence[int], modalities: Tensor | Sequence[int]) -> LossInputs:
    """Return embeddings as the inputs of a loss: features before and after the BNNeck, and the projection.

    Rows may be in any order; here they are sorted by modality, in which they keep their order.

    Args:
        embeddings: (B, D).
        labels: (B,) identities.
        modalities: (B,) 0 visible, 1 infrared.

    Raises:
        ConfigError: shapes do not match, or a modality is neither.
    """
    targets = torch.as_tensor(labels, device=embeddings.device)
    kinds = torch.as_tensor(modalities).detach().cpu()
    if embeddings.ndim != 2 or targets.shape != embeddings.shape[:1] or kinds.shape != targets.shape:
        raise ConfigError(
            f"a loss takes embeddings (B, D), labels (B,) and modalities (B,); got {tuple(embeddings.shape)}, "
            f"{tuple(targets.shape)} and {tuple(kinds.shape)}"
        )
    if not bool(((kinds == 0) | (kinds == 1)).all()):
        raise ConfigError(f"modalities must be 0 (visible) or 1 (infrared); got {kinds.unique().tolist()[:5]}")
    order = torch.argsort(kinds, stable=True)
    kinds = kinds[order].long()
    at = order.to(embeddings.device)
    rows = embeddings[at]
    logits: Any = Missing("logits")
    branch = Branch(rows, rows, logits)
    return LossInputs({"embedding": branch}, targets[at], kinds, torch.zeros_like(kinds), projection=rows)
