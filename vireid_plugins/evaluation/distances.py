"""Distances between features, by which a gallery is ranked.

Papers rank by the cosine. IDKL's released code ranks RegDB and LLCM by the squared Euclidean distance of unnormalized
features, and DEEN's code by an inner product of parts that are normalized separately.

Shapes: `Q` queries, `G` gallery images, `A` all images, `D` embedding.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vireid_plugins.errors import FeatureError, first_line, require_name
from vireid_plugins.evaluation.choices import METRICS
from vireid_plugins.evaluation.types import Floats

# Largest whole number below which float64 holds all.
EXACT = 2**53


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


def rankable(distance: Any) -> Floats | Tensor:
    """Return distances (Q, G) of any real type as float32 or float64, in which excluded images can be marked by NaN.

    Whole numbers and booleans become float64, half precision float32; numbers that float64 would round become their
    order. A tensor stays on its device; anything else becomes an array.

    Raises:
        FeatureError: they are no matrix of real numbers, or contain NaN.
    """
    matrix = _of_tensor(distance) if isinstance(distance, Tensor) else _of_array(distance)
    if matrix.ndim != 2:
        raise FeatureError(f"the distances must be (queries, gallery); got the shape {tuple(matrix.shape)}")
    broken = matrix.isnan().sum().item() if isinstance(matrix, Tensor) else np.isnan(matrix).sum()
    if broken:
        raise FeatureError(f"the distances contain NaN, {broken} of {int(np.prod(matrix.shape))}")
    return matrix


def _of_tensor(distance: Tensor) -> Tensor:
    if distance.layout != torch.strided or distance.is_quantized or distance.is_complex():
        kind = distance.layout if distance.layout != torch.strided else distance.dtype
        raise FeatureError(f"the distances must be a dense tensor of real numbers; got {kind}")
    if distance.is_meta:
        raise FeatureError("the distances must be a dense tensor of real numbers; got one without values")
    distance = distance.detach()
    if not distance.is_floating_point():
        if distance.dtype in (torch.int64, torch.uint64):
            return torch.from_numpy(_of_array(distance.cpu().numpy())).to(distance.device)
        return distance.to(torch.float32 if distance.device.type == "mps" else torch.float64)
    return distance if distance.dtype in (torch.float32, torch.float64) else distance.float()


def _of_array(distance: Any) -> Floats:
    if isinstance(distance, np.ma.MaskedArray):
        raise FeatureError("the distances must not be a masked array, whose mask no ranking reads; fill it with np.inf")
    try:
        matrix: npt.NDArray[Any] = np.asarray(distance)
    except (ValueError, TypeError, RuntimeError) as error:
        raise FeatureError(f"the distances must be a matrix of real numbers: {first_line(error)}") from None
    if matrix.dtype.kind not in "fiub":
        raise FeatureError(f"the distances must be real numbers; got {matrix.dtype}")
    long = matrix.dtype.kind == "f" and matrix.dtype.itemsize > 8 and not np.isnan(matrix).any()
    if matrix.size and (long or (matrix.dtype.kind in "iu" and max(-int(matrix.min()), int(matrix.max())) > EXACT)):
        matrix = np.unique(matrix, return_inverse=True)[1].reshape(matrix.shape)
    half = matrix.dtype.kind == "f" and matrix.dtype.itemsize <= 4
    # In native byte order and row by row, as the compiled loops read them.
    return np.ascontiguousarray(matrix, np.float32 if half else np.float64)
