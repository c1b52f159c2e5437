"""Score features under protocols."""

from collections.abc import Mapping, Sequence
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
from vireid_plugins.evaluation.query_scores import TrialAp, query_scores
from vireid_plugins.evaluation.results import ProtocolResult
from vireid_plugins.evaluation.trials import sides
from vireid_plugins.evaluation.types import Floats

NO_OPTIONS: Mapping[str, Any] = {}


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
        features: (n, D) float32 or float64; normalized here if the metric is the cosine.
        paths: n image paths relative to the data set's folder (file names suffice for LLCM); images that the protocol
            does not use are ignored.
        protocol: a name in `PROTOCOLS`, or a protocol.
        data_root: the folder that contains the data set's folder, or that folder itself.
        split: split of a data set with splits, such as 1 to 10 of RegDB; None for other data sets.
        postprocessing: query expansion and re-ranking.
        device: device for distances and rank positions.
        metric: `cosine`, `euclidean` (squared) or `inner_product`; the latter two use unnormalized features.

    Raises:
        ConfigError: the protocol or metric is unknown, the split is missing, or the data set has no such split.
        DataError: files of the data set are missing or inconsistent.
        FeatureError: the features are not a finite (n, D) array, or an image is missing or occurs twice; the message
            names it.
    """
    if isinstance(protocol, str):
        protocol = require_protocols([protocol])[0]
    dataset = dataset_of(protocol.dataset, data_root, split)
    return score(features, paths, EvaluationPlan(dataset, [protocol]), postprocessing, device, metric)[0]


def dataset_of(
    name: str, data_root: str | Path, split: int | None = None, options: Mapping[str, Any] = NO_OPTIONS
) -> CrossModalityDataset:
    """Return a data set for scoring; the arguments are those of `evaluate_protocol` and further ones of the data set.

    Raises:
        ConfigError: the split is missing, or the data set has no such split.
        DataError: the data set's files are missing.
    """
    factory: type[CrossModalityDataset] = DATASET_REGISTRY.get(name)
    splits = factory.splits
    if not splits and split is not None:
        raise ConfigError(f"{name} has no splits, but split {split} was given")
    if splits and split is None:
        raise ConfigError(
            f"{name} has {len(splits)} splits; give the one that the model was trained on, {splits[0]} to {splits[-1]} "
            "(--split)"
        )
    arguments: dict[str, Any] = {**({"split": split} if splits else {}), **options}
    return factory(root=str(data_root), **arguments)


def score(
    features: Floats,
    paths: Sequence[str],
    plan: EvaluationPlan,
    postprocessing: PostProcessing = NONE,
    device: str = "cpu",
    metric: str = "cosine",
    where: str = "",
) -> list[ProtocolResult]:
    """Score features under every protocol of a plan; see `evaluate_protocol`. `where` names them in messages.

    Distances between the modalities are computed once and shared by all protocols and trials.
    """
    require_metric(metric)
    postprocessing.check(metric)
    images = plan.images
    table = FeatureTable(images, features, paths, where)
    for protocol in plan.protocols:
        query, gallery = sides(protocol)
        trials = plan.trials(protocol)
        table.require(protocol, query, (trial.query for trial in trials))
        table.require(protocol, gallery, (trial.gallery for trial in trials))
    matrices = {modality: table.of(modality, metric == "cosine") for modality in (VISIBLE, INFRARED)}
    distances = _Distances(matrices, device, metric)
    results: dict[str, ProtocolResult] = {}
    # One direction after the other, so that the matrix is transposed only once.
    for protocol in sorted(plan.protocols, key=lambda p: p.direction):
        query, gallery = sides(protocol)
        rankings, per_query = [], []
        for rows, columns in plan.trials(protocol):
            paths_of = [images.paths[query][row] for row in rows]
            labels = (images.labels_at(query, rows), images.labels_at(gallery, columns))
            if postprocessing:
                distance: Floats | Tensor = postprocessing.distance(
                    matrices[query][rows], matrices[gallery][columns], metric
                )
                rows, columns = np.arange(len(rows)), np.arange(len(columns))
            else:
                distance = distances.of_queries(query)
            rankings.append(rank(distance, rows, columns, *labels, plan.rules[protocol.name], protocol.cmc))
            per_query.append(TrialAp(paths_of, labels[0].ids, rankings[-1].ap))
        results[protocol.name] = ProtocolResult(
            protocol, rankings, plan.dataset.split, str(postprocessing), metric, query_scores(per_query)
        )
    return [results[protocol.name] for protocol in plan.protocols]


class _Distances:
    """Distances between the modalities, computed on first use.

    Args:
        matrices: features of both modalities, L2-normalized for the cosine.
        device: see `cross_distances`.
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
            # torch transposes in blocks and with several threads.
            transposed = torch.as_tensor(self.matrix).T.contiguous()
            self.matrix = transposed.numpy() if self.device == "cpu" else transposed
        self.query = query
        distances: Floats | Tensor = self.matrix
        return distances
