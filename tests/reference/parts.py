"""Losses on part masks and on classifiers of one modality, as loops over rows, parts and positions."""

from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from reference.rows import mean


def overlap(masks: Tensor) -> Tensor:
    """Return the mean over rows and pairs of parts of the sum over positions of the product."""
    return mean(sum(a * b for a, b in zip(k, m, strict=True)) for row in masks for k, m in combinations(row, 2))


def diversity(masks: Tensor, form: str) -> Tensor:
    """Return the loss of SAAI's masks."""
    if form == "cos":
        return overlap(masks) + 1 - mean(iter(masks.flatten()))
    pairs = (pair for row in masks for pair in combinations(row, 2))
    return -mean(mean((a - b).square() for a, b in zip(k, m, strict=True)).sqrt() for k, m in pairs)


def specific_ce(inputs: Any) -> Tensor:
    """Return the sum of the mean cross-entropies of each modality's rows."""
    terms: list[list[Tensor]] = [[], []]
    for row, target, modality in zip(inputs.own_logits, inputs.targets, inputs.modalities, strict=True):
        terms[int(modality)].append(row.exp().sum().log() - row[int(target)])
    return mean(terms[0]) + mean(terms[1])


def teaching(inputs: Any, form: str) -> Tensor:
    """Return the mean over rows of KL(s || t), or of H(t, s)."""
    rows = []
    for student, teacher in zip(inputs.own_logits, inputs.teacher_logits.detach(), strict=True):
        s, t = (torch.stack([one / sum(row.exp()) for one in row.exp()]) for row in (student, teacher))
        if form == "kl":
            rows.append(sum(a * (a / b).log() for a, b in zip(s, t, strict=True)))
        else:
            rows.append(-sum(b * a.log() for a, b in zip(s, t, strict=True)))
    return mean(rows)
