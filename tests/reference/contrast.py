"""WRIM-Net's contrast of key instances as loops over anchors."""

from torch import Tensor

from reference.rows import mean, rows_of


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
