"""IDKL's alignments: divergences of distances between images, and of class distributions, element by element."""

import torch
from torch import Tensor

from reference.rows import distance, mean

Matrix = list[list[Tensor]]


def distances(a: Tensor, b: Tensor, diagonal: bool = True) -> Matrix:
    """Return the distances between the rows of two sets, with those of equal number or without."""
    return [[distance(x, y) for j, y in enumerate(b) if diagonal or i != j] for i, x in enumerate(a)]


def kl(a: Matrix, b: Matrix, direction: str = "printed", reduction: str = "batchmean") -> Tensor:
    """Return KL of the row softmaxes, element by element."""
    if direction == "symmetric":
        return kl(a, b, "printed", reduction) + kl(a, b, "reversed", reduction)
    if direction == "reversed":
        return kl(b, a, "printed", reduction)
    terms = []
    for p, q in zip(a, b, strict=True):
        log_p, log_q = ([score - torch.stack(row).logsumexp(0) for score in row] for row in (p, q))
        terms.append(len(p) * mean(x.exp() * (x - y) for x, y in zip(log_p, log_q, strict=True)))
    return mean(terms) * (len(terms) if reduction == "sum" else 1)


def cross_alignment(a: Tensor, b: Tensor, *divergence: str) -> Tensor:
    """Return L_tgsa(a; b) of the paper."""
    aa, ab, bb = distances(a, a), distances(a, b), distances(b, b)
    return kl(aa, bb, *divergence) + kl(aa, ab, *divergence) + kl(ab, bb, *divergence)


def self_alignment(a: Tensor, b: Tensor, *divergence: str) -> Tensor:
    """Return the released form in one modality."""
    return kl(distances(a, a, diagonal=False), distances(b, b, diagonal=False), *divergence)


def mixture_alignment(v: Tensor, i: Tensor, *divergence: str) -> Tensor:
    """Return the released form between the modalities."""
    mixed = torch.cat([v[: len(v) // 2], i[: len(v) // 2]])
    pairs = ((v, i), (v, mixed), (mixed, i))
    return 3 * mean(self_alignment(p, q, *divergence) for p, q in pairs)


def class_alignment(a: Tensor, b: Tensor, instances: int = 0, *divergence: str) -> Tensor:
    """Return KL of class distributions, and of the k-th images of all identities side by side."""
    value = kl([list(row) for row in a], [list(row) for row in b], *divergence)
    if instances:
        first, second = ([[z for row in x[k::instances] for z in row] for k in range(instances)] for x in (a, b))
        value = value + kl(first, second, *divergence)
    return value
