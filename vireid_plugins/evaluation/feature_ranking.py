"""Score trials from features: by the whole matrix of distances, or block by block where it would be too large.

Shapes: `Q` queries, `G` gallery images.
"""

import numpy as np

from vireid_plugins.evaluation.block_ranking import count_in_blocks
from vireid_plugins.evaluation.distances import cross_distances
from vireid_plugins.evaluation.feature_rows import FeatureRows, row_or_slice
from vireid_plugins.evaluation.metrics import Ranking, rank, ranking_of, with_open_set
from vireid_plugins.evaluation.nearest import nearest_in_blocks
from vireid_plugins.evaluation.rank_positions import Selection

# Distances of the largest whole matrix on a CPU: 1 GiB of float32.
WHOLE = 2**28


def in_blocks(queries: int, gallery: int, device: str) -> bool:
    """Return whether a matrix of distances (Q, G) is too large to be made as a whole."""
    return device == "cpu" and queries * gallery > WHOLE


def rank_features(
    query: FeatureRows, gallery: FeatureRows, selection: Selection, metric: str, device: str = "cpu"
) -> Ranking:
    """Score a trial from the features of its queries and gallery; on a CPU, large ones block by block.

    Args:
        query: features that the selection's rows refer to.
        gallery: features that the selection's columns refer to.
        selection: the trial.
        metric: a key of `METRICS`.
        device: see `cross_distances`.

    Raises:
        FeatureError: no query has a match.
    """
    rows, columns = selection.rows, selection.columns
    if in_blocks(len(rows), len(columns), device):
        positions = count_in_blocks(query, gallery, metric, selection)
        ranking = ranking_of(positions, selection)
        if not selection.open_set:
            return ranking
        return with_open_set(ranking, positions, selection, nearest_in_blocks(query, gallery, metric, selection))
    distance = cross_distances(query.at(row_or_slice(rows)), gallery.at(row_or_slice(columns)), metric, device)
    return rank(distance, [selection._replace(rows=np.arange(len(rows)), columns=np.arange(len(columns)))])[0]
