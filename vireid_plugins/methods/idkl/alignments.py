"""Alignments of IDKL (Ren and Zhang, CVPR 2024, arXiv 2403.11708): divergences of affinity graphs and of classes.

The formulas are in `losses.py`. Every divergence of an alignment is computed in one call, on stacked distributions.
Shapes: `n` rows of a modality, `D` embedding, `N` classes, `k` distributions.
"""

from functools import cache
from itertools import combinations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vireid_plugins.layers.distances import euclidean

DIRECTIONS = ("printed", "reversed", "symmetric")
DIVERGENCE_REDUCTIONS = ("batchmean", "sum")


def off_diagonal(distance: Tensor) -> Tensor:
    """Return `distance` (n, n) without its diagonal, (n, n - 1)."""
    n = len(distance)
    return distance.flatten()[:-1].view(n - 1, n + 1)[:, 1:].reshape(n, n - 1)


def cross_alignment(a: Tensor, b: Tensor, direction: str = "printed", reduction: str = "batchmean") -> Tensor:
    """Return L_tgsa(a; b) of the paper.

    Args:
        a: (n, D), the teacher.
        b: (n, D), the student; row i is the same image or identity as row i of `a`.
        direction: see `divergence`.
        reduction: see `divergence`.
    """
    joint = torch.cat([a, b])
    return divergences(graphs_of(euclidean(joint, joint), "cross"), direction, reduction)


def self_alignment(a: Tensor, b: Tensor, direction: str = "symmetric", reduction: str = "batchmean") -> Tensor:
    """Return the divergence of S(a) and S(b), affinities without diagonals: the released TGSA of one modality.

    Args:
        a: (n, D).
        b: (n, D).
        direction: see `divergence`.
        reduction: see `divergence`.
    """
    return divergence(off_diagonal(euclidean(a, a)), off_diagonal(euclidean(b, b)), direction, reduction)


def mixture_alignment(
    visible: Tensor, infrared: Tensor, direction: str = "symmetric", reduction: str = "batchmean"
) -> Tensor:
    """Return the released graph alignment of the modalities, through the mixture f_X.

    Args:
        visible: f_V (n, D), n even.
        infrared: f_I (n, D).
        direction: see `divergence`.
        reduction: see `divergence`.

    Raises:
        ValueError: n is odd.
    """
    joint = torch.cat([visible, infrared])
    return divergences(graphs_of(euclidean(joint, joint), "mixture"), direction, reduction)


def graphs_of(distance: Tensor, form: str) -> Tensor:
    """Return the three graphs of an alignment, from the distances (2n, 2n) between rows of a followed by those of b.

    Cross: A_aa, A_ab and A_bb (3, n, n). Mixture: S of a, of X and of b (3, n, n - 1).
    """
    return distance.flatten()[_entries(len(distance) // 2, form, distance.device)]


@cache
def _entries(n: int, form: str, device: torch.device) -> Tensor:
    """Return where the entries of `graphs_of` are in a flattened matrix; kept, so that a step copies nothing."""
    a, b = np.arange(n), np.arange(n, 2 * n)
    if form == "cross":
        rows, columns = np.stack([a, a, b])[:, :, None], np.stack([a, b, b])[:, None]
    else:
        if n % 2:
            raise ValueError(
                f"the mixture form cannot halve {n} images per modality; choose SOLVER.IMS_PER_BATCH and "
                "DATALOADER.NUM_INSTANCE so that P x K is even, or the form 'cross'"
            )
        sets = np.stack([a, np.concatenate([a[: n // 2], b[: n // 2]]), b])
        others = np.array([[j for j in range(n) if j != i] for i in range(n)], dtype=int).reshape(n, n - 1)
        rows, columns = sets[:, :, None], sets[:, others]
    with torch.inference_mode(False):
        return torch.from_numpy(2 * n * rows + columns).to(device)


def instance_rows(logits: Tensor, instances: int) -> Tensor:
    """Return logits (..., P * K, N) as (..., K, P * N): row k concatenates the k-th image of every identity."""
    rows: Tensor = logits.unflatten(-2, (-1, instances)).transpose(-3, -2).flatten(-2)
    return rows


def class_alignment(
    a: Tensor, b: Tensor, instances: int = 0, direction: str = "printed", reduction: str = "batchmean"
) -> Tensor:
    """Return KL between the class distributions of logits (n, N).

    Args:
        a: logits of the first distribution.
        b: logits of the second.
        instances: K, adds the instance-wise divergence (released code); 0 leaves it out.
        direction: see `divergence`.
        reduction: see `divergence`.
    """
    return class_alignments(torch.stack([a, b]), instances, direction, reduction)


def class_alignments(logits: Tensor, instances: int, direction: str, reduction: str) -> Tensor:
    """Return `class_alignment` of logits (2, ..., n, N), summed over the axes in between."""
    value = divergences(logits, direction, reduction)
    if instances:
        value = value + divergences(instance_rows(logits, instances), direction, reduction)
    return value


def divergence(a: Tensor, b: Tensor, direction: str = "printed", reduction: str = "batchmean") -> Tensor:
    """Return KL(softmax a || softmax b), summed or averaged over rows.

    Args:
        a: scores (n, m) of the first distribution.
        b: scores (n, m) of the second.
        direction: `printed` is KL(a || b), `reversed` KL(b || a), `symmetric` their sum.
        reduction: `sum` over rows, or `batchmean`, which does not depend on their number.
    """
    return divergences(torch.stack([a, b]), direction, reduction)


def divergences(scores: Tensor, direction: str, reduction: str) -> Tensor:
    """Return the sum of the divergences of each of k distributions from every later one.

    With p_i the softmax of scores i, a row's value is sum_i p_i . sum_j w_ij log p_j; the rows of w sum to 0.

    Args:
        scores: (k, ..., n, m); the value is also summed over the axes between k and n.
        direction: see `divergence`.
        reduction: see `divergence`.
    """
    log_p = F.log_softmax(scores, dim=-1)
    rows = 1 if reduction == "sum" else scores.shape[-2]
    weights = _pairs(len(scores), direction, rows, scores.dtype, scores.device)
    # Products and sums, as a matrix product may have less precision (TF32).
    differences = (weights.view(*weights.shape, *[1] * (scores.ndim - 1)) * log_p).sum(1)
    return (log_p.exp() * differences).sum()


@cache
def _pairs(count: int, direction: str, rows: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return w / rows (k, k) of `divergences`; kept, so that a step copies nothing to the device."""
    weights = np.zeros((count, count))
    for i, j in combinations(range(count), 2):
        for p, q, name in ((i, j, "printed"), (j, i, "reversed")):
            if direction in (name, "symmetric"):
                weights[p, [p, q]] += 1, -1
    with torch.inference_mode(False):
        return torch.from_numpy(weights / rows).to(device, dtype)
