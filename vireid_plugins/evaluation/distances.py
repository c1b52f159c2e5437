"""Distances between features, by which a gallery is ranked.

Papers rank by the cosine. IDKL's released code ranks RegDB and LLCM by the squared Euclidean distance of unnormalized
features, and DEEN's code by an inner product of parts that are normalized separately.

Shapes: `Q` queries, `G` gallery images, `A` all images, `D` embedding.
"""

import numpy as np
import torch
from torch import Tensor

from vireid_plugins.errors import require_name
from vireid_plugins.evaluation.choices import METRICS
from vireid_plugins.evaluation.types import Floats


def require_metric(metric: str) -> None:
    """Raise a `ConfigError` that lists the metrics unless `metric` is one of them."""
    require_name("TEST.METRIC", metric, METRICS)


def cross_distances(left: Floats, right: Floats, metric: str, device: str = "cpu") -> Floats | Tensor:
    """Return distances (Q, G), smaller is nearer, computed in the precision of the features.

    Args:
        left: (Q, D); L2-normalized for the cosine.
        right: (G, D); likewise.
        metric: a key of `METRICS`.
        device: device to compute on; an array is returned for `cpu`, else a tensor on that device.
    """
    if device == "cpu":
        distance: Floats = -left @ right.T
        if metric == "euclidean":
            distance *= 2
            distance += np.square(left).sum(1)[:, None]
            distance += np.square(right).sum(1)
        return distance
    x, y = (torch.from_numpy(part).to(device) for part in (left, right))
    product = -x @ y.T
    return 2 * product + x.square().sum(1)[:, None] + y.square().sum(1) if metric == "euclidean" else product


def squared_distances(features: Floats) -> Floats:
    """Return the squared Euclidean distances (A, A) between all features (A, D), with 0 on the diagonal."""
    squared: Floats = features @ features.T
    norms = np.diagonal(squared).copy()
    squared *= -2
    squared += norms[:, None]
    squared += norms
    np.maximum(squared, 0, out=squared)
    np.fill_diagonal(squared, 0)
    return squared
