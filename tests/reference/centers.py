"""Losses on the centers of identities as loops over images: hetero-center, QCT, ICG and DEEN's CPM."""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from reference.rows import center, distance, identities, mean, rows_of


def hetero_center(x: Tensor, targets: Tensor, visible: int) -> Tensor:
    """Return the mean over identities of the squared distance of their two centers."""
    halves = range(visible), range(visible, len(x))
    terms = []
    for identity in identities(targets):
        v, i = (center(x, rows_of(targets, identity, half)) for half in halves)
        terms.append((v - i).square().sum())
    return mean(terms)


def quadruple_center_triplet(
    x: Tensor, targets: Tensor, rows: Sequence[int], visible: int, margin: float, a: float
) -> Tensor:
    """Return L_QCT."""
    starts = [sum(rows[:n]) for n in range(len(rows) + 1)]
    streams = [range(start, end) for start, end in pairwise(starts)]
    dual, quadruple, margins = [], [], []
    for i in range(len(x)):
        y = int(targets[i])
        other = range(visible, len(x)) if i < visible else range(visible)
        own = next(stream for stream in streams if i in stream)
        dual.append(distance(x[i], center(x, rows_of(targets, y, other))))
        quadruple.append(distance(x[i], center(x, rows_of(targets, y, own))))
        hinges = [
            F.relu(margin - distance(x[i], center(x, rows_of(targets, k)))) for k in identities(targets) if k != y
        ]
        margins.append(mean(hinges))
    return ((1 - a) * mean(dual) + a * mean(quadruple) + mean(margins)) / 2


def center_guided(x: Tensor, targets: Tensor, visible: int, rho1: float) -> Tensor:
    """Return L_ICG in the hinge form."""
    halves = range(visible), range(visible, len(x))
    of = {(k, m): center(x, rows_of(targets, k, halves[m])) for k in identities(targets) for m in (0, 1)}
    terms = []
    for i in range(len(x)):
        y, m = int(targets[i]), int(i >= visible)
        positive = distance(x[i], of[y, 1 - m])
        negative = torch.stack([distance(x[i], c) for (k, _), c in of.items() if k != y]).min()
        terms.append(positive + F.relu(rho1 + positive - negative))
    return mean(terms)


def center_tolerance(x: Tensor, targets: Tensor, visible: int, rho1: float, rho2: float) -> Tensor:
    """Return L_ICG in the tolerance form."""
    halves = range(visible), range(visible, len(x))
    pulls = []
    for i in range(len(x)):
        across = halves[0] if i >= visible else halves[1]
        pulls.append(F.relu(distance(x[i], center(x, rows_of(targets, int(targets[i]), across))) - rho1))
    whole = [center(x, rows_of(targets, k)) for k in identities(targets)]
    pushes = [F.relu(rho2 - distance(a, b)) for a in whole for b in whole if a is not b]
    return mean(pulls) + (mean(pushes) if pushes else 0.0)


def center_cluster(x: Tensor, targets: Tensor, margin: float, tolerance: float) -> Tensor:
    """Return the pull of rows to their center, both modalities together, and the push of the centers."""
    of = {k: center(x, rows_of(targets, k)) for k in identities(targets)}
    pull = mean(F.relu(distance(x[i], of[int(targets[i])]) - tolerance) for i in range(len(x)))
    pushes = [F.relu(margin - distance(of[p], of[q])) for p in of for q in of if p != q]
    return pull + (mean(pushes) if pushes else 0.0)


def expansion(original: Tensor, branch: Tensor, targets: Tensor, visible: int, margin: float) -> Tensor:
    """Return CPM of one branch."""
    halves = range(visible), range(visible, len(original))
    ids = identities(targets)

    def nearest(x: Tensor, identity: int, m: int) -> Tensor:
        own = center(x, rows_of(targets, identity, halves[m]))
        others = [center(x, rows_of(targets, k, halves[m])) for k in ids if k != identity]
        return torch.stack([distance(own, other) for other in others]).min()

    terms = []
    for k in ids:
        for m in (0, 1):
            rows, across = rows_of(targets, k, halves[m]), rows_of(targets, k, halves[1 - m])
            b = center(branch, rows)
            far, near = distance(center(original, across), b), distance(center(original, rows), b).detach()
            limits = [near, nearest(branch, k, m), nearest(original, k, m)]
            hinges = [F.relu(far - limit + margin) for limit in limits]
            terms.append(hinges[0] + (hinges[1] + hinges[2]) / 2)
    return mean(terms)
