"""IDKL's purifier losses as loops over rows and identities."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from reference.rows import center, identities, mean, rows_of


def entropies(logits: Tensor) -> list[Tensor]:
    """Return the entropy of every softmax row."""
    found = []
    for row in logits:
        log_p = row - row.logsumexp(0)
        found.append(-len(row) * mean(x.exp() * x for x in log_p))
    return found


def softened(terms: Sequence[Tensor], form: str, exponential: bool) -> Tensor:
    """Return the mean of softplus (paper), or of relu or exp(relu) - 1 (released)."""
    if form == "paper":
        return mean(F.softplus(term) for term in terms)
    return mean(F.relu(term).exp() - 1 if exponential else F.relu(term) for term in terms)


def purified_relation(kept: Tensor, normalized: Tensor, targets: Tensor, visible: int, form: str) -> Tensor:
    """Return L_r."""

    def between(x: Tensor, identity: int) -> Tensor:
        halves = range(visible), range(visible, len(x))
        v, i = (center(x, rows_of(targets, identity, half)) for half in halves)
        apart: Tensor = torch.linalg.vector_norm(v - i + 1e-6)
        return apart

    return softened([between(kept, k) - between(normalized, k) for k in identities(targets)], form, exponential=False)
