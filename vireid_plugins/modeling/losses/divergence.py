"""Kullback-Leibler divergences between rows, as IDKL uses them in several terms."""

import torch.nn.functional as F
from torch import Tensor

from vireid_plugins.errors import require_name

DIRECTIONS = ("printed", "reversed", "symmetric")
REDUCTIONS = ("batchmean", "sum")


def divergence(a: Tensor, b: Tensor, direction: str = "printed", reduction: str = "batchmean") -> Tensor:
    """Return KL(softmax a || softmax b), summed over the rows of (n, m) scores or averaged over them.

    Args:
        a: (n, m) scores of the first distribution.
        b: (n, m) of the second.
        direction: `printed` is KL(a || b), `reversed` KL(b || a), `symmetric` their sum.
        reduction: `sum` over rows, or `batchmean`, whose scale does not depend on the batch.
    """
    log_a, log_b = F.log_softmax(a, dim=1), F.log_softmax(b, dim=1)
    pairs = {"printed": [(log_a, log_b)], "reversed": [(log_b, log_a)]}
    pairs["symmetric"] = [*pairs["printed"], *pairs["reversed"]]
    terms = [F.kl_div(q, p, reduction=reduction, log_target=True) for p, q in pairs[direction]]
    return terms[0] if len(terms) == 1 else terms[0] + terms[1]


def check_divergence(node: str, direction: str, reduction: str) -> None:
    """Raise a `ConfigError` that names the key of `MODEL.LOSSES.<node>` unless both exist."""
    require_name(f"MODEL.LOSSES.{node}.KL", direction, DIRECTIONS)
    require_name(f"MODEL.LOSSES.{node}.REDUCTION", reduction, REDUCTIONS)
