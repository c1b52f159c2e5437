"""Every loss as loops over images: what the vectorised forms are compared with, in time, value and gradient.

Each function follows the formula in the file of its loss, one distance at a time. Shapes: `B` rows, `D` embedding, `N`
classes.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vireid_plugins.methods.idkl.losses import pseudo_labels
from vireid_plugins.modeling.loss_inputs import LossInputs

Rows = Sequence[int]


def distance(x: Tensor, y: Tensor) -> Tensor:
    """Return the Euclidean distance of two rows (D,), with gradient 0 where they coincide."""
    return (x - y).square().sum().clamp_min(1e-24).sqrt()


def mean(values: Iterable[Tensor]) -> Tensor:
    """Return the mean of numbers, one after the other."""
    found = list(values)
    total = found[0]
    for value in found[1:]:
        total = total + value
    return total / len(found)


def centre(x: Tensor, rows: Rows) -> Tensor:
    """Return the mean (D,) of some rows."""
    return mean(x[row] for row in rows)


def rows_of(targets: Tensor, identity: int, among: Iterable[int] | None = None) -> list[int]:
    """Return the rows of an identity, among some rows or all."""
    return [row for row in (range(len(targets)) if among is None else among) if int(targets[row]) == identity]


def identities(targets: Tensor) -> list[int]:
    """Return the different identities."""
    return sorted({int(target) for target in targets})


def smoothed_cross_entropy(logits: Tensor, targets: Tensor, epsilon: float) -> Tensor:
    """Return the mean over rows of - sum_n q_n log p_n, q_n = epsilon / N, and 1 - epsilon more at the target."""
    terms = []
    for row, target in zip(logits, targets, strict=True):
        log_p = row - row.exp().sum().log()
        terms.append(-(1 - epsilon) * log_p[int(target)] - epsilon * mean(iter(log_p)))
    return mean(terms)


def hard_triplet(x: Tensor, targets: Tensor, margin: float) -> Tensor:
    """Return the batch-hard triplet loss; 0 where no anchor has a negative."""
    terms = []
    for i in range(len(x)):
        same = rows_of(targets, int(targets[i]))
        positives = [distance(x[i], x[j]) if j != i else x.new_zeros(()) for j in same]
        negatives = [distance(x[i], x[j]) for j in range(len(x)) if j not in same]
        if negatives:
            terms.append(F.relu(torch.stack(positives).max() - torch.stack(negatives).min() + margin))
    return mean(terms) if terms else 0 * x.sum()


def weighted_differences(x: Tensor, targets: Tensor, released_eps: bool) -> list[Tensor]:
    """Return Delta of every anchor; distances of the released code are 1e-6 at least, to the row itself too."""
    least = x.new_full((), 1e-6 if released_eps else 0.0)

    def weighted(scores: list[Tensor], sign: float) -> Tensor:
        masked = [x.new_zeros(())] if released_eps else []
        top = torch.stack([sign * d for d in scores] + masked).max()
        weights = [(sign * d - top).exp() for d in scores]
        above = mean(w * d for w, d in zip(weights, scores, strict=True))
        return above / (mean(weights) + (1e-6 / len(weights) if released_eps else 0.0))

    found = []
    for i in range(len(x)):
        same = rows_of(targets, int(targets[i]))
        positives = [distance(x[i], x[j]).maximum(least) if j != i else least for j in same]
        negatives = [distance(x[i], x[j]).maximum(least) for j in range(len(x)) if j not in same]
        found.append(weighted(positives, 1.0) - weighted(negatives, -1.0))
    return found


def key_instance_contrast(
    anchors: Tensor, others: Tensor, y_a: Tensor, y_o: Tensor, tau: float, k: int, other_positives: bool = False
) -> Tensor:
    """Return one direction of CMKIC."""
    terms = []
    for anchor, target in zip(anchors, y_a, strict=True):
        scores = [(anchor / anchor.norm()) @ (other / other.norm()) / tau for other in others]
        positives = sorted((scores[j] for j in rows_of(y_o, int(target))), key=Tensor.item)
        negatives = [score for score, y in zip(scores, y_o, strict=True) if int(y) != int(target)]
        if not positives:
            continue
        used = positives[: min(k or max(1, len(positives) // 2), len(positives))]
        crowd = len(negatives) * mean(score.exp() for score in negatives) if negatives else anchor.new_zeros(())
        friends = len(positives) * mean(score.exp() for score in positives)
        terms.append(mean(-(p.exp() / ((friends if other_positives else p.exp()) + crowd)).log() for p in used))
    return mean(terms)


def cmkic(
    z_v: Tensor, z_i: Tensor, y_v: Tensor, y_i: Tensor, tau: float = 0.1, k_hard: int = 0, other_positives: bool = False
) -> Tensor:
    """Return L_VI + L_IV."""
    form = tau, k_hard, other_positives
    return key_instance_contrast(z_v, z_i, y_v, y_i, *form) + key_instance_contrast(z_i, z_v, y_i, y_v, *form)


def hetero_centre(x: Tensor, targets: Tensor, visible: int) -> Tensor:
    """Return the mean over identities of the squared distance of their two centres."""
    halves = range(visible), range(visible, len(x))
    terms = []
    for identity in identities(targets):
        v, i = (centre(x, rows_of(targets, identity, half)) for half in halves)
        terms.append((v - i).square().sum())
    return mean(terms)


def quadruple_centre_triplet(
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
        dual.append(distance(x[i], centre(x, rows_of(targets, y, other))))
        quadruple.append(distance(x[i], centre(x, rows_of(targets, y, own))))
        hinges = [
            F.relu(margin - distance(x[i], centre(x, rows_of(targets, k)))) for k in identities(targets) if k != y
        ]
        margins.append(mean(hinges))
    return ((1 - a) * mean(dual) + a * mean(quadruple) + mean(margins)) / 2


def centre_guided(x: Tensor, targets: Tensor, visible: int, rho1: float) -> Tensor:
    """Return L_ICG in the hinge form."""
    halves = range(visible), range(visible, len(x))
    of = {(k, m): centre(x, rows_of(targets, k, halves[m])) for k in identities(targets) for m in (0, 1)}
    terms = []
    for i in range(len(x)):
        y, m = int(targets[i]), int(i >= visible)
        positive = distance(x[i], of[y, 1 - m])
        negative = torch.stack([distance(x[i], c) for (k, _), c in of.items() if k != y]).min()
        terms.append(positive + F.relu(rho1 + positive - negative))
    return mean(terms)


def centre_tolerance(x: Tensor, targets: Tensor, visible: int, rho1: float, rho2: float) -> Tensor:
    """Return L_ICG in the tolerance form."""
    halves = range(visible), range(visible, len(x))
    pulls = []
    for i in range(len(x)):
        across = halves[0] if i >= visible else halves[1]
        pulls.append(F.relu(distance(x[i], centre(x, rows_of(targets, int(targets[i]), across))) - rho1))
    whole = [centre(x, rows_of(targets, k)) for k in identities(targets)]
    pushes = [F.relu(rho2 - distance(a, b)) for a in whole for b in whole if a is not b]
    return mean(pulls) + (mean(pushes) if pushes else 0.0)


def expansion(original: Tensor, branch: Tensor, targets: Tensor, visible: int, margin: float) -> Tensor:
    """Return CPM of one branch."""
    halves = range(visible), range(visible, len(original))
    ids = identities(targets)

    def nearest(x: Tensor, identity: int, m: int) -> Tensor:
        own = centre(x, rows_of(targets, identity, halves[m]))
        others = [centre(x, rows_of(targets, k, halves[m])) for k in ids if k != identity]
        return torch.stack([distance(own, other) for other in others]).min()

    terms = []
    for k in ids:
        for m in (0, 1):
            rows, across = rows_of(targets, k, halves[m]), rows_of(targets, k, halves[1 - m])
            b = centre(branch, rows)
            far, near = distance(centre(original, across), b), distance(centre(original, rows), b).detach()
            limits = [near, nearest(branch, k, m), nearest(original, k, m)]
            hinges = [F.relu(far - limit + margin) for limit in limits]
            terms.append(hinges[0] + (hinges[1] + hinges[2]) / 2)
    return mean(terms)


def orthogonality(first: Tensor, second: Tensor) -> Tensor:
    """Return the sum of inner products by 3B."""
    return mean(a @ b for a, b in zip(first, second, strict=True)) / 3


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


def purified_relation(kept: Tensor, normalised: Tensor, targets: Tensor, visible: int, form: str) -> Tensor:
    """Return L_r."""

    def between(x: Tensor, identity: int) -> Tensor:
        halves = range(visible), range(visible, len(x))
        v, i = (centre(x, rows_of(targets, identity, half)) for half in halves)
        apart: Tensor = torch.linalg.vector_norm(v - i + 1e-6)
        return apart

    return softened([between(kept, k) - between(normalised, k) for k in identities(targets)], form, exponential=False)


def _on_pooled(function: Callable[[Tensor, LossInputs, Any], Tensor]) -> Callable[[Any, LossInputs], Tensor]:
    """Return the mean over the branches that a loss looks at."""
    return lambda loss, inputs: mean(function(branch.pooled, inputs, loss) for branch in loss.branches(inputs))


def _squared(x: Tensor, targets: Tensor, gamma: float, released: bool) -> Tensor:
    deltas = weighted_differences(x, targets, released)
    return mean(F.softplus(d.sign() * (gamma * d.square()).clamp_max(88)) for d in deltas)


def _icg(x: Tensor, inputs: LossInputs, loss: Any) -> Tensor:
    if loss.normalize:
        x = torch.stack([row / row.norm() for row in x])
    if loss.form == "hinge":
        return centre_guided(x, inputs.targets, inputs.visible_rows, loss.rho1)
    return centre_tolerance(x, inputs.targets, inputs.visible_rows, loss.rho1, loss.rho2)


def _expanded(inputs: Any, margin: float) -> Tensor:
    original, first, second = inputs.parts()
    of = (inputs.targets, inputs.visible_rows, margin)
    return expansion(original, first, *of) + expansion(original, second, *of)


def _tgsa(loss: Any, inputs: Any) -> Tensor:
    align = cross_alignment if loss.form == "cross" else self_alignment
    specific = inputs.by_modality(inputs.specific.pooled)
    shared = inputs.by_modality(inputs.branches["sh"].pooled)
    return 2 * mean(align(a, b, *loss.divergence) for a, b in zip(specific, shared, strict=True))


def _csa(loss: Any, inputs: Any) -> Tensor:
    shared = inputs.by_modality(inputs.branches["sh"].logits)
    specific = inputs.by_modality(inputs.specific.logits)
    pairs = zip(shared, specific, strict=True)
    return 2 * mean(class_alignment(a, b, loss.instances, *loss.divergence) for a, b in pairs)


def _mdr(loss: Any, inputs: LossInputs) -> Tensor:
    shared = inputs.branches["sh"]
    value = class_alignment(*inputs.by_modality(shared.logits), loss.instances, *loss.divergence)
    if loss.graph:
        align = cross_alignment if loss.form == "cross" else mixture_alignment
        value = value + align(*inputs.by_modality(shared.pooled), *loss.divergence)
    return value


def _purifier(loss: Any, inputs: Any) -> Tensor:
    terms = inputs.purifier
    pairs = zip(entropies(terms.discriminative_logits), entropies(terms.raw_logits), strict=True)
    entropy = softened([a - b for a, b in pairs], loss.form, exponential=True)
    pooled = terms.kept_pooled, terms.normalized_pooled
    return entropy + purified_relation(*pooled, inputs.targets, inputs.visible_rows, loss.form)


def _modality_heads(loss: Any, inputs: Any) -> Tensor:
    true = inputs.modalities.long()
    confused = pseudo_labels(true, inputs.visible_rows) if loss.confuser_labels == "pseudo" else true
    total: Tensor = inputs.targets.new_zeros(()).double()
    for heads, labels in ((inputs.confusers, confused), (inputs.discriminators, true)):
        if heads:
            terms = [smoothed_cross_entropy(head, labels, 0.0) for head in heads]
            total = total + (sum(terms) if loss.reduction == "sum" else mean(terms))
    return total


def _cmkic(loss: Any, inputs: Any) -> Tensor:
    z_v, z_i = inputs.by_modality(inputs.projection)
    y_v, y_i = inputs.by_modality(inputs.targets)
    return cmkic(z_v, z_i, y_v, y_i, loss.temperature, loss.k_hard, loss.other_positives)


# The unscaled value of each loss of this package, as a function of the loss (for its hyper-parameters) and its inputs.
NAIVE: dict[str, Callable[[Any, Any], Tensor]] = {
    "LabelSmoothCE": lambda loss, inputs: mean(
        smoothed_cross_entropy(branch.logits, inputs.targets, loss.epsilon) for branch in loss.branches(inputs)
    ),
    "HardTriplet": _on_pooled(lambda x, inputs, loss: hard_triplet(x, inputs.targets, loss.margin)),
    "WeightedTriplet": _on_pooled(
        lambda x, inputs, loss: mean(map(F.softplus, weighted_differences(x, inputs.targets, loss.released_eps)))
    ),
    "SquaredDifferenceTriplet": _on_pooled(
        lambda x, inputs, loss: _squared(x, inputs.targets, loss.gamma, loss.released_eps)
    ),
    "CMKIC": _cmkic,
    "HeteroCenter": _on_pooled(lambda x, inputs, loss: hetero_centre(x, inputs.targets, inputs.visible_rows)),
    "QCT": _on_pooled(
        lambda x, inputs, loss: quadruple_centre_triplet(
            x, inputs.targets, inputs.stream_rows(), inputs.visible_rows, loss.margin, loss.quad_weight
        )
    ),
    "ICG": _on_pooled(_icg),
    "CPM": lambda loss, inputs: _expanded(inputs, loss.margin),
    "Orthogonality": lambda loss, inputs: orthogonality(*inputs.parts()[1:]),
    "TGSA": _tgsa,
    "CSA": _csa,
    "MDR": _mdr,
    "Purification": _purifier,
    "ModalityHeads": _modality_heads,
}
