"""Memories of clusters: the contrastive loss against their rows, and the rules by which a step changes them.

A memory M has a row for each cluster of a modality, x are L2-normalized features with labels y in it:

    L(x, y; M) = mean over rows of CE(x M^T / t, y)

    mean    row by row in the order of the batch:  M_y <- m M_y + (1 - m) x, divided by its norm
    hard    once per cluster, with the row x of the batch that is least similar to M_y before the change

Cluster Contrast (ACCV 2022); behavior of the released code of ADCA and PGM, which changes memories in the backward
pass. Here the changed memory is computed first, without a gradient, and the loss is given the matrix that its gradient
goes through.

Shapes: `B` rows, `D` embedding, `K` clusters.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from vireid_plugins.data.batch import NONE

Labels = npt.NDArray[np.int64]


class _Similarities(torch.autograd.Function):
    """x M^T, whose gradient goes through another matrix; no gradient reaches a memory."""

    @staticmethod
    def forward(context: Any, rows: Tensor, memory: Tensor, through: Tensor) -> Tensor:
        context.save_for_backward(through)
        return rows @ memory.T

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return gradients[0] @ context.saved_tensors[0], None, None


def contrast(
    rows: Tensor,
    labels: Tensor,
    memory: Tensor,
    *,
    temperature: float = 0.05,
    through: Tensor | None = None,
    count: float | None = None,
) -> Tensor:
    """Return L, which is 0 if no row has a label.

    Args:
        rows: (B, D), L2-normalized.
        labels: (B,) clusters; rows with -1 are left out.
        memory: (K, D).
        temperature: t.
        through: (K, D), the matrix that the gradient goes through; by default the memory.
        count: divisor of the sum over rows; by default the number of rows with a label.
    """
    similarities: Tensor = _Similarities.apply(rows, memory, memory if through is None else through)  # type: ignore[no-untyped-call]
    divisor = (labels != NONE).sum() if count is None else torch.full((), count, device=rows.device)
    total = F.cross_entropy(similarities / temperature, labels, ignore_index=NONE, reduction="sum")
    return total / divisor.clamp_min(1)


class Groups(NamedTuple):
    """The rows of a batch by cluster, the clusters with most rows first.

    Attributes:
        clusters: (C,) those in the batch.
        rows: (C, n) the rows of each in the order of the batch; places after the last are 0.
        sizes: of each j below n, the number of clusters with more than j rows.
    """

    clusters: Tensor
    rows: Tensor
    sizes: list[int]


def grouped(labels: Labels, device: torch.device) -> Groups:
    """Return the rows by cluster; they are found on the host, so that a device does not have to be waited for.

    Args:
        labels: (B,) clusters; -1: none.
        device: of the indices.
    """
    order = np.argsort(labels, kind="stable")
    order = order[labels[order] != NONE]
    clusters, starts, counts = np.unique(labels[order], return_index=True, return_counts=True)
    by_size = np.argsort(-counts, kind="stable")
    clusters, starts, counts = clusters[by_size], starts[by_size], counts[by_size]
    place = np.arange(counts.max(initial=0))
    filled = place < counts[:, None]
    rows = np.where(filled, np.append(order, 0)[np.where(filled, starts[:, None] + place, -1)], 0)
    numbers, places = (torch.from_numpy(array).to(device, non_blocking=True) for array in (clusters, rows))
    return Groups(numbers, places, filled.sum(0).tolist())


def mean_rows(before: Tensor, rows: Tensor, groups: Groups, momentum: float) -> Tensor:
    """Return the changed rows (C, D) of the batch's clusters by the rule `mean`.

    Args:
        before: (C, D).
        rows: (B, D).
        groups: the rows by cluster.
        momentum: m.
    """
    after = before.clone()
    for place, number in enumerate(groups.sizes):
        after[:number] = _moved(after[:number], rows[groups.rows[:number, place]], momentum)
    return after


def hard_rows(before: Tensor, rows: Tensor, groups: Groups, momentum: float) -> Tensor:
    """Return the changed rows (C, D) of the batch's clusters by the rule `hard`; arguments as of `mean_rows`."""
    chosen = rows[groups.rows]
    similarities = torch.einsum("cnd,cd->cn", chosen, before)
    for place, number in enumerate(groups.sizes):
        similarities[number:, place] = torch.inf
    least = similarities.argmin(1)
    return _moved(before, chosen[torch.arange(len(before), device=rows.device), least], momentum)


def _moved(before: Tensor, towards: Tensor, momentum: float) -> Tensor:
    mixed = momentum * before + (1 - momentum) * towards
    moved: Tensor = mixed / mixed.norm(dim=1, keepdim=True)
    return moved


RULES: dict[str, Callable[[Tensor, Tensor, Groups, float], Tensor]] = {"mean": mean_rows, "hard": hard_rows}


@torch.no_grad()
def changed(memory: Tensor, rows: Tensor, labels: Labels, *, rule: str, momentum: float) -> Tensor:
    """Return the memory (K, D) after a batch, in new storage.

    Args:
        memory: (K, D).
        rows: (B, D), L2-normalized.
        labels: (B,) clusters on the host; rows with -1 change nothing.
        rule: a name in `RULES`.
        momentum: m, share of the former row.
    """
    after = memory.clone()
    groups = grouped(labels, memory.device)
    if groups.sizes:
        after[groups.clusters] = RULES[rule](memory[groups.clusters], rows.detach(), groups, momentum)
    return after
