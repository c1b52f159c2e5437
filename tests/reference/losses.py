"""Every loss as loops over images, to compare the vectorized forms with in value, gradient and time.

Each function follows the formula in the file of its loss, one distance at a time.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from reference.alignments import class_alignment, cross_alignment, mixture_alignment, self_alignment
from reference.centers import (
    center_cluster,
    center_guided,
    center_tolerance,
    expansion,
    hetero_center,
    quadruple_center_triplet,
)
from reference.contrast import cmkic
from reference.parts import diversity, overlap, specific_ce, teaching
from reference.progressive import dcl, modality_triplet, msel
from reference.purifier import entropies, purified_relation, softened
from reference.rows import mean
from reference.triplets import hard_triplet, weighted_differences
from vireid_plugins.methods.idkl.losses import pseudo_labels
from vireid_plugins.modeling.loss_inputs import LossInputs


def smoothed_cross_entropy(logits: Tensor, targets: Tensor, epsilon: float) -> Tensor:
    """Return the mean over rows of - sum_n q_n log p_n, q_n = epsilon / N, and 1 - epsilon more at the target."""
    terms = []
    for row, target in zip(logits, targets, strict=True):
        log_p = row - row.exp().sum().log()
        terms.append(-(1 - epsilon) * log_p[int(target)] - epsilon * mean(iter(log_p)))
    return mean(terms)


def orthogonality(first: Tensor, second: Tensor) -> Tensor:
    """Return the sum of inner products by 3B."""
    return mean(a @ b for a, b in zip(first, second, strict=True)) / 3


def _on_pooled(function: Callable[[Tensor, LossInputs, Any], Tensor]) -> Callable[[Any, LossInputs], Tensor]:
    """Return the mean over the branches a loss is put on."""
    return lambda loss, inputs: mean(function(branch.pooled, inputs, loss) for branch in loss.branches(inputs))


def _squared(x: Tensor, targets: Tensor, gamma: float, released: bool) -> Tensor:
    deltas = weighted_differences(x, targets, released)
    return mean(F.softplus(d.sign() * (gamma * d.square()).clamp_max(88)) for d in deltas)


def _icg(x: Tensor, inputs: LossInputs, loss: Any) -> Tensor:
    if loss.normalize:
        x = torch.stack([row / row.norm() for row in x])
    if loss.form == "hinge":
        return center_guided(x, inputs.targets, inputs.visible_rows, loss.rho1)
    return center_tolerance(x, inputs.targets, inputs.visible_rows, loss.rho1, loss.rho2)


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
    "HeteroCenter": _on_pooled(lambda x, inputs, loss: hetero_center(x, inputs.targets, inputs.visible_rows)),
    "QCT": _on_pooled(
        lambda x, inputs, loss: quadruple_center_triplet(
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
    "ModalityTriplet": _on_pooled(
        lambda x, inputs, loss: modality_triplet(x, inputs.targets, inputs.visible_rows, loss.margin)
    ),
    "MSEL": _on_pooled(lambda x, inputs, loss: msel(x, inputs.targets, inputs.visible_rows)),
    "DCL": _on_pooled(lambda x, inputs, loss: dcl(x, inputs.targets)),
    "CenterCluster": _on_pooled(lambda x, inputs, loss: center_cluster(x, inputs.targets, loss.margin, loss.tolerance)),
    "SpecificCE": lambda loss, inputs: specific_ce(inputs),
    "MutualTeaching": lambda loss, inputs: teaching(inputs, loss.form),
    "PatternSeparation": lambda loss, inputs: overlap(inputs.masks),
    "PartDiversity": lambda loss, inputs: diversity(inputs.masks, loss.form),
}
