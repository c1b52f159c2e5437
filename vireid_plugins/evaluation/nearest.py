"""The distance of each query to its nearest gallery image, from a matrix or block by block.

Shapes: `Q` queries, `G` gallery images.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vireid_plugins.evaluation._numba import over_rows
from vireid_plugins.evaluation.block_ranking import IMAGES, QUERIES, bounds
from vireid_plugins.evaluation.distances import cross_distances
from vireid_plugins.evaluation.feature_rows import FeatureRows, row_or_slice
from vireid_plugins.evaluation.rank_positions import DEVICE_ELEMENTS, Selection
from vireid_plugins.evaluation.types import Floats, Ints, Labels


def nearest(distance: Floats | Tensor, selection: Selection) -> npt.NDArray[np.float64]:
    """Return the distance (Q,) of each query to its nearest image that no rule excludes; inf if there is none.

    Args:
        distance: a matrix that the selection's rows and columns refer to; a tensor is read on its device.
        selection: queries and gallery.
    """
    if isinstance(distance, Tensor):
        return _on_device(distance, selection)
    best = np.full(len(selection.rows), np.inf)
    _lower(best, distance, selection)
    return best


def nearest_in_blocks(
    query: FeatureRows, gallery: FeatureRows, metric: str, selection: Selection
) -> npt.NDArray[np.float64]:
    """Return what `nearest` returns, without the whole matrix of distances.

    Args:
        query: features that the selection's rows refer to.
        gallery: features that the selection's columns refer to.
        metric: a key of `METRICS`.
        selection: queries and gallery.
    """
    best = np.full(len(selection.rows), np.inf)
    for rows in bounds(len(selection.rows), QUERIES):
        features = query.at(row_or_slice(selection.rows[rows]))
        for columns in bounds(len(selection.columns), IMAGES):
            images = gallery.at(row_or_slice(selection.columns[columns]))
            near: Any = cross_distances(features, images, metric)
            part = selection._replace(
                rows=np.arange(near.shape[0]),
                columns=np.arange(near.shape[1]),
                query=_of(selection.query, rows),
                gallery=_of(selection.gallery, columns),
            )
            _lower(best[rows], near, part)
    return best


def _lower(best: npt.NDArray[np.float64], distance: Floats, selection: Selection) -> None:
    """Lower the distances `best` (Q,) to those of a matrix."""
    # Not at the top: numba takes a tenth of a second to import.
    from vireid_plugins.evaluation._nearest_loop import lower

    labels = [selection.rows, selection.columns, *selection.query, *selection.gallery]
    whole = [array.astype(np.int64) for array in labels]
    rule = np.array(selection.rule.pairs, np.int64).reshape(-1, 2), selection.rule.same_camera
    over_rows(lambda start, stop: lower(start, stop, distance, *whole, *rule, best), len(best))


def _on_device(distance: Tensor, selection: Selection) -> npt.NDArray[np.float64]:
    def moved(array: Ints) -> Tensor:
        return torch.as_tensor(array.astype(np.int64), device=distance.device)

    rows, columns = moved(selection.rows), moved(selection.columns)
    query, gallery = (tuple(map(moved, side)) for side in (selection.query, selection.gallery))
    best = [np.empty(0)]
    chunk = max(1, DEVICE_ELEMENTS // max(1, len(columns)))
    for start in range(0, len(rows), chunk):
        part = slice(start, start + chunk)
        labels: Any = Labels(*(array[part] for array in query))  # type: ignore[arg-type]
        hidden = selection.rule.hides(labels, Labels(*gallery))  # type: ignore[arg-type]
        near = distance[rows[part]][:, columns].masked_fill(hidden, torch.inf)
        best.append(near.amin(1).cpu().numpy().astype(np.float64))
    return np.concatenate(best)


def _of(labels: Labels, part: slice) -> Labels:
    return Labels(labels.ids[part], labels.cams[part])
