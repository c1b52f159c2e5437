"""Scores features under protocols."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fastreid.data.datasets import DATASET_REGISTRY
from torch import Tensor

from vireid_plugins.data.batch import INFRARED, VISIBLE
from vireid_plugins.data.datasets import CrossModalityDataset
from vireid_plugins.errors import ConfigError
from vireid_plugins.evaluation.distances import cross_distances, require_metric
from vireid_plugins.evaluation.feature_table import FeatureTable
from vireid_plugins.evaluation.metrics import rank
from vireid_plugins.evaluation.plan import EvaluationPlan
from vireid_plugins.evaluation.postprocess import NONE, PostProcessing
from vireid_plugins.evaluation.protocols import Protocol, require_protocols
from vireid_plugins.evaluation.results import ProtocolResult
from vireid_plugins.evaluation.trials import sides
from vireid_plugins.evaluation.types import Floats


def evaluate_protocol(
    features: Floats,
    paths: Sequence[str],
    protocol: str | Protocol,
    data_root: str | Path,
    split: int | None = None,
    postprocessing: PostProcessing = NONE,
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
        split: of a data set with splits, as RegDB's 1 to 10; nothing for the others.
        postprocessing: query expansion and re-ranking.
        device: where distances are computed and rank positions counted.
        metric: `cosine`, `euclidean` (squared) or `inner_product`, the latter two of features as they are.

    Raises:
        ConfigError: no protocol or metric has that name, or the split is missing or not for this data set.
        DataError: the data set's files are missing or do not fit.
        FeatureError: the features are no finite (n, D) array, or an image is missing or doubled; the message names it.
    """
    if isinstance(protocol, str):
        protocol = require_protocols([protocol])[0]
    dataset = dataset_of(protocol.dataset, data_root, split)
    return score(features, paths, EvaluationPlan(dataset, [protocol]), postprocessing, device, metric)[0]


def dataset_of(name: str, data_root: str | Path, split: int | None = None) -> CrossModalityDataset:
    """Return a data set for scoring; the arguments are `evaluate_protocol`'s.

    Raises:
        ConfigError: the split is missing or not for this data set.
        DataError: the data set's files are missing.
    """
    factory: type[CrossModalityDataset] = DATASET_REGISTRY.get(name)
    splits = factory.splits
    if not splits and split is not None:
        raise ConfigError(f"{name} has no splits, but split {split} was asked for")
    if splits and split is None:
        raise ConfigError(
            f"{name} has {len(splits)} splits: say which one, {splits[0]} to {splits[-1]}, the features' model was "
            "trained on (--split)"
        )
    options: dict[str, Any] = {"split": split} if splits else {}
    return factory(root=str(data_root), **options)


def score(
    features: Floats,
    paths: Sequence[str],
    plan: EvaluationPlan,
    postprocessing: PostProcessing = NONE,
    device: str = "cpu",
    metric: str = "cosine",
) -> list[ProtocolResult]:
    """Score features under every protocol of a plan; see `evaluate_protocol`.

    Distances between the modalities are computed once; protocols, trials, modes and shots index them.
    """
    require_metric(metric)
    postprocessing.check(metric)
    images = plan.images
    table = FeatureTable(images, features, paths)
    for protocol in plan.protocols:
        query, gallery = sides(protocol)
        trials = plan.trials(protocol)
        table.require(protocol, query, (trial.query for trial in trials))
        table.require(protocol, gallery, (trial.gallery for trial in trials))
    matrices = {modality: table.of(modality, metric == "cosine") for modality in (VISIBLE, INFRARED)}
    distances = _Distances(matrices, device, metric)
    results: dict[str, ProtocolResult] = {}
    # One direction after the other, so that the matrix is turned around once.
    for protocol in sorted(plan.protocols, key=lambda p: p.direction):
        query, gallery = sides(protocol)
        rankings = []
        for rows, columns in plan.trials(protocol):
            labels = (images.labels_at(query, rows), images.labels_at(gallery, columns))
            if postprocessing:
                distance: Floats | Tensor = postprocessing.distance(
                    matrices[query][rows], matrices[gallery][columns], metric
                )
                rows, columns = np.arange(len(rows)), np.arange(len(columns))
            else:
                distance = distances.of_queries(query)
            rankings.append(rank(distance, rows, columns, *labels, plan.rules[protocol.name], protocol.cmc))
        results[protocol.name] = ProtocolResult(protocol, rankings, plan.dataset.split, str(postprocessing), metric)
    return [results[protocol.name] for protocol in plan.protocols]


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
        distances: Floats | Tensor = self.matrix
        return distances
