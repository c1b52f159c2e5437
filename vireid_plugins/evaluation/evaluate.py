"""Scores features under protocols."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fastreid.data.datasets import DATASET_REGISTRY
from torch import Tensor

from vireid_plugins.data.batch import INFRARED, VISIBLE
from vireid_plugins.data.datasets import CrossModalityDataset, RegDB
from vireid_plugins.errors import ConfigError
from vireid_plugins.evaluation.distances import cross_distances, require_metric
from vireid_plugins.evaluation.feature_table import Catalogue, FeatureTable
from vireid_plugins.evaluation.metrics import rank
from vireid_plugins.evaluation.postprocess import NONE, Refinement
from vireid_plugins.evaluation.protocols import Protocol, require_protocols
from vireid_plugins.evaluation.rank_positions import Floats, Ints
from vireid_plugins.evaluation.results import ProtocolResult
from vireid_plugins.evaluation.trials import draw_trials


def evaluate_protocol(
    features: Floats,
    paths: Sequence[str],
    protocol: str | Protocol,
    data_root: str | Path,
    split: int | None = None,
    refinement: Refinement = NONE,
    device: str = "cpu",
    metric: str = "cosine",
) -> ProtocolResult:
    """Score features under a protocol.

    Args:
        features: (n, D); normalized here where the metric is the cosine, and kept in float32 or float64.
        paths: n image paths relative to the data set's folder (LLCM: file names do); more images than the protocol uses
            do no harm.
        protocol: a name in `PROTOCOLS`, or a protocol.
        data_root: the folder that holds the data set's folder, or that folder itself.
        split: 1 to 10 for RegDB, nothing for the others.
        refinement: query expansion and re-ranking.
        device: where distances are computed and places counted.
        metric: `cosine`, `euclidean` (squared) or `inner_product`, the latter two of features as they are.

    Raises:
        ConfigError: no protocol or metric has that name, or the split is missing or not for this data set.
        DataError: the data set's files are missing or do not fit.
        FeatureError: the features are no finite (n, D) array, or an image is missing or doubled; the message names it.
    """
    if isinstance(protocol, str):
        protocol = require_protocols([protocol])[0]
    dataset = dataset_of(protocol.dataset, data_root, split)
    return score(features, paths, [protocol], dataset, refinement, device, metric)[0]


def dataset_of(name: str, data_root: str | Path, split: int | None = None) -> CrossModalityDataset:
    """Return a data set for scoring; the arguments are `evaluate_protocol`'s.

    Raises:
        ConfigError: the split is missing or not for this data set.
        DataError: the data set's files are missing.
    """
    factory = DATASET_REGISTRY.get(name)
    if not issubclass(factory, RegDB):
        if split is not None:
            raise ConfigError(f"{name} has no splits, but split {split} was asked for")
        options: dict[str, Any] = {}
    elif split is None:
        raise ConfigError(f"{name} has ten splits: say which one, 1 to 10, the features were trained on (--split)")
    else:
        options = {"split": split}
    dataset: CrossModalityDataset = factory(root=str(data_root), **options)
    return dataset


def score(
    features: Floats,
    paths: Sequence[str],
    protocols: Sequence[Protocol],
    dataset: CrossModalityDataset,
    refinement: Refinement = NONE,
    device: str = "cpu",
    metric: str = "cosine",
) -> list[ProtocolResult]:
    """Score features under protocols of a data set that is already read; see `evaluate_protocol`.

    Distances between the modalities are computed once; protocols, trials, modes and shots index them.
    """
    require_metric(metric)
    refinement.check(metric)
    catalogue = Catalogue(dataset)
    table = FeatureTable(catalogue, features, paths)
    plans: dict[str, list[tuple[Ints, Ints]]] = {}
    for protocol in protocols:
        plan = plans[protocol.name] = [catalogue.positions(trial) for trial in draw_trials(dataset, protocol)]
        query, gallery = sides(protocol)
        table.require(protocol, query, (rows for rows, _ in plan))
        table.require(protocol, gallery, (columns for _, columns in plan))
    matrices = {modality: table.of(modality, metric == "cosine") for modality in (VISIBLE, INFRARED)}
    distances = _Distances(matrices, device, metric)
    results: dict[str, ProtocolResult] = {}
    # One direction after the other, so that the matrix is turned around once.
    for protocol in sorted(protocols, key=lambda p: p.direction):
        query, gallery = sides(protocol)
        rankings = []
        for rows, columns in plans[protocol.name]:
            labels = (catalogue.labels_at(query, rows), catalogue.labels_at(gallery, columns))
            if refinement:
                distance: Floats | Tensor = refinement.distance(
                    matrices[query][rows], matrices[gallery][columns], metric
                )
                rows, columns = np.arange(len(rows)), np.arange(len(columns))
            else:
                distance = distances.of_queries(query)
            rankings.append(rank(distance, rows, columns, *labels, protocol.drop, protocol.cmc))
        results[protocol.name] = ProtocolResult(protocol, rankings, dataset.split, str(refinement), metric)
    return [results[protocol.name] for protocol in protocols]


def sides(protocol: Protocol) -> tuple[int, int]:
    """Return the modality of the queries and of the gallery."""
    return (INFRARED, VISIBLE) if protocol.direction == "i2v" else (VISIBLE, INFRARED)


def check_draws(dataset: CrossModalityDataset, protocols: Sequence[Protocol]) -> None:
    """Draw every trial once, so that files that are missing or do not fit are found before a training and not after.

    Raises:
        DataError: see `draw_trials`.
    """
    for protocol in protocols:
        draw_trials(dataset, protocol)


class _Distances:
    """Distances between the modalities, computed when first asked for.

    Args:
        matrices: features of both modalities, L2-normalized for the cosine.
        device: where.
        metric: see `cross_distances`.
    """

    def __init__(self, matrices: dict[int, Floats], device: str, metric: str) -> None:
        self.matrices, self.device, self.metric = matrices, device, metric
        self.query: int | None = None
        self.matrix: Any = None

    def of_queries(self, query: int) -> Floats | Tensor:
        """Return the matrix whose rows are the images of the modality `query`."""
        if self.query is None:
            left, right = self.matrices[query], self.matrices[VISIBLE + INFRARED - query]
            self.matrix = cross_distances(left, right, self.metric, self.device)
        elif self.query != query:
            # torch turns a matrix around by blocks and in all threads.
            turned = torch.as_tensor(self.matrix).T.contiguous()
            self.matrix = turned.numpy() if self.device == "cpu" else turned
        self.query = query
        found: Floats | Tensor = self.matrix
        return found
