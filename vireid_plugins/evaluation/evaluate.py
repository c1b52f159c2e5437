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
from vireid_plugins.evaluation.feature_ranking import in_blocks, rank_features
from vireid_plugins.evaluation.feature_rows import FeatureRows
from vireid_plugins.evaluation.feature_table import FeatureTable
from vireid_plugins.evaluation.metrics import Ranking, rank
from vireid_plugins.evaluation.plan import EvaluationPlan
from vireid_plugins.evaluation.postprocess import NONE, PostProcessing
from vireid_plugins.evaluation.protocols import Protocol, require_protocols
from vireid_plugins.evaluation.query_scores import QueryScores, TrialAp, query_scores
from vireid_plugins.evaluation.rank_positions import Selection
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
        postprocessing: query expansion, re-ranking, affinity inference.
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

    Distances between the modalities are computed once and shared by all protocols and trials, unless they are more than
    fit into memory: then each trial is ranked block by block.
    """
    require_metric(metric)
    postprocessing.check(metric)
    by_protocol = {protocol.name: postprocessing.at(protocol.name) for protocol in plan.protocols}
    images = plan.images
    table = FeatureTable(images, features, paths, where)
    for protocol in plan.protocols:
        query, gallery = sides(protocol)
        trials = plan.trials(protocol)
        table.require(protocol, query, (trial.query for trial in trials))
        table.require(protocol, gallery, (trial.gallery for trial in trials))
    rows = {modality: table.rows_of(modality, metric) for modality in (VISIBLE, INFRARED)}
    matrices = {modality: of.whole() for modality, of in rows.items()} if postprocessing else {}
    distances = _Distances(rows, device, metric)
    rankings: dict[str, list[Ranking]] = {}
    selected = {protocol.name: _selections(plan, protocol) for protocol in plan.protocols}
    # One direction after the other, so that the matrix is transposed only once.
    for direction in sorted({protocol.direction for protocol in plan.protocols}):
        protocols = [protocol for protocol in plan.protocols if protocol.direction == direction]
        query, gallery = sides(protocols[0])
        every = [selection for protocol in protocols for selection in selected[protocol.name]]
        if postprocessing:
            ranked = iter(
                [
                    _postprocessed(s, matrices[query], matrices[gallery], by_protocol[protocol.name], metric)
                    for protocol in protocols
                    for s in selected[protocol.name]
                ]
            )
        else:
            ranked = iter(distances.ranked(query, every))
        for protocol in protocols:
            rankings[protocol.name] = [next(ranked) for _ in selected[protocol.name]]
    return [
        ProtocolResult(
            protocol,
            rankings[protocol.name],
            plan.dataset.split,
            str(by_protocol[protocol.name]),
            metric,
            _per_query(plan, protocol, selected[protocol.name], rankings[protocol.name]),
        )
        for protocol in plan.protocols
    ]


def _selections(plan: EvaluationPlan, protocol: Protocol) -> list[Selection]:
    """Return every trial of a protocol as rows and columns of the distances between the modalities."""
    query, gallery = sides(protocol)
    rule, distinct = plan.rules[protocol.name], protocol.cmc == "distinct_id"
    open_set = protocol.enrollments > 0
    return [
        Selection(
            rows,
            columns,
            plan.images.labels_at(query, rows),
            plan.images.labels_at(gallery, columns),
            rule,
            distinct,
            open_set,
        )
        for rows, columns in plan.trials(protocol)
    ]


def _postprocessed(
    selection: Selection, query: Floats, gallery: Floats, postprocessing: PostProcessing, metric: str
) -> Ranking:
    """Return the scores of a trial, given the features of all images of both modalities."""
    rows, columns = selection.rows, selection.columns
    distance = postprocessing.distance(query[rows], gallery[columns], metric)
    whole = selection._replace(rows=np.arange(len(rows)), columns=np.arange(len(columns)))
    return rank(distance, [whole])[0]


def _per_query(
    plan: EvaluationPlan, protocol: Protocol, selections: Sequence[Selection], rankings: Sequence[Ranking]
) -> QueryScores:
    """Return the average precision of every query of a protocol."""
    every = plan.images.paths[sides(protocol)[0]]
    trials: list[TrialAp] = []
    for number, (selection, ranking) in enumerate(zip(selections, rankings, strict=True)):
        # Most protocols ask the same queries in every trial.
        same = number > 0 and np.array_equal(selection.rows, selections[number - 1].rows)
        paths = trials[-1].paths if same else [every[row] for row in selection.rows.tolist()]
        trials.append(TrialAp(paths, selection.query.ids, ranking.ap))
    return query_scores(trials)


class _Distances:
    """Distances between the modalities, computed on first use and shared by all trials unless they are too many.

    Args:
        rows: features of both modalities.
        device: see `cross_distances`.
        metric: see `cross_distances`.
    """

    def __init__(self, rows: dict[int, FeatureRows], device: str, metric: str) -> None:
        self.rows, self.device, self.metric = rows, device, metric
        self.query: int | None = None
        self.matrix: Any = None

    def ranked(self, query: int, selections: Sequence[Selection]) -> list[Ranking]:
        """Return the scores of trials whose queries are images of the modality `query`.

        Raises:
            FeatureError: no query of a trial has a match.
        """
        left, right = self.rows[query], self.rows[VISIBLE + INFRARED - query]
        if in_blocks(len(left), len(right), self.device):
            return [rank_features(left, right, selection, self.metric) for selection in selections]
        return rank(self._of_queries(query), selections)

    def _of_queries(self, query: int) -> Floats | Tensor:
        """Return the matrix whose rows are the images of the modality `query`."""
        if self.query is None:
            left, right = self.rows[query].whole(), self.rows[VISIBLE + INFRARED - query].whole()
            self.matrix = cross_distances(left, right, self.metric, self.device)
        elif self.query != query:
            # torch transposes in blocks and with several threads.
            transposed = torch.as_tensor(self.matrix).T.contiguous()
            self.matrix = transposed.numpy() if self.device == "cpu" else transposed
        self.query = query
        distances: Floats | Tensor = self.matrix
        return distances
