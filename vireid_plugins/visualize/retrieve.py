"""Runs a trained model over a test set and ranks the gallery for its queries."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from fastreid.config import CfgNode
from fastreid.evaluation import inference_on_dataset

from vireid_plugins.data import loader_of_test_set
from vireid_plugins.data.batch import INFRARED, VISIBLE
from vireid_plugins.data.datasets import CrossModalityDataset
from vireid_plugins.engine.train import load_model
from vireid_plugins.evaluation.distances import cross_distances
from vireid_plugins.evaluation.evaluator import FeatureCollector
from vireid_plugins.evaluation.feature_table import FeatureTable, ImagesByModality
from vireid_plugins.evaluation.plan import EvaluationPlan, plan_test
from vireid_plugins.evaluation.protocols import Protocol
from vireid_plugins.evaluation.rank_positions import count_positions
from vireid_plugins.evaluation.trials import sides
from vireid_plugins.evaluation.types import Floats
from vireid_plugins.visualize.rank_lists import RankList


@dataclass(frozen=True)
class Extraction:
    """A test set and the features of its images.

    Attributes:
        plan: of the test set.
        features: (n, D).
        paths: n paths relative to the set's folder.
        metric: what ranks the gallery, a key of `METRICS`.
    """

    plan: EvaluationPlan
    features: Floats
    paths: list[str]
    metric: str = "cosine"

    @property
    def dataset(self) -> CrossModalityDataset:
        """The test set."""
        return self.plan.dataset

    @property
    def images(self) -> ImagesByModality:
        """The images by modality."""
        return self.plan.images

    @cached_property
    def table(self) -> FeatureTable:
        """The features by modality."""
        return FeatureTable(self.images, self.features, self.paths)

    @cached_property
    def matrices(self) -> dict[int, Floats]:
        """L2-normalized features of each modality, in the order of `images`."""
        return {modality: self.table.of(modality) for modality in (VISIBLE, INFRARED)}


def extract(cfg: CfgNode, model: Any = None) -> Extraction:
    """Return the features of the first test set.

    Args:
        cfg: the configuration.
        model: a trained method; by default that of `load_model`.

    Raises:
        ConfigError: there is no checkpoint.
        DataError: the checkpoint or the data set cannot be read.
    """
    model = load_model(cfg) if model is None else model
    plan = plan_test(cfg, cfg.DATASETS.TESTS[0])
    collector = FeatureCollector(plan.dataset)
    inference_on_dataset(model, loader_of_test_set(cfg, plan.dataset), collector, flip_test=cfg.TEST.FLIP.ENABLED)
    gathered = collector.gathered()
    assert gathered is not None
    return Extraction(plan, *gathered, cfg.TEST.METRIC)


def nearest(found: Extraction, protocol: Protocol, queries: int = 8, top: int = 10) -> list[RankList]:
    """Return the rank lists of `queries` queries, spread evenly over those that have a match, in trial 0.

    Images that the protocol hides from a query stay in the list where they would rank, and are marked.

    Args:
        found: features of the test set.
        protocol: of its plan, whose gallery and drop rule are used.
        queries: how many lists.
        top: length of a list.
    """
    images, rule = found.images, found.plan.rules[protocol.name]
    rows, columns = found.plan.trials(protocol)[0]
    query, gallery = sides(protocol)
    found.table.require(protocol, query, [rows])
    found.table.require(protocol, gallery, [columns])
    query_labels, gallery_labels = images.labels_at(query, rows), images.labels_at(gallery, columns)
    hidden = rule.hides(query_labels, gallery_labels)
    same = query_labels.ids[:, None] == gallery_labels.ids
    cosine = found.metric == "cosine"
    left, right = found.table.of(query, cosine)[rows], found.table.of(gallery, cosine)[columns]
    distance = np.asarray(cross_distances(left, right, found.metric))
    every = (np.arange(len(rows)), np.arange(len(columns)))
    positions = count_positions(
        distance, *every, query_labels, gallery_labels, rule, distinct=protocol.cmc == "distinct_id"
    )
    chosen = np.flatnonzero(positions.first >= 0)
    chosen = chosen[np.linspace(0, len(chosen) - 1, min(queries, len(chosen))).astype(int)]
    lists = []
    for row in chosen:
        order = np.argsort(distance[row], kind="stable")[:top]
        lists.append(
            RankList(
                found.dataset.folder / images.paths[query][rows[row]],
                [found.dataset.folder / images.paths[gallery][columns[g]] for g in order],
                [bool(same[row, g]) for g in order],
                [bool(hidden[row, g]) for g in order],
                # From 0 on for the cosine, as it is read.
                [float(distance[row, g]) + cosine for g in order],
                int(positions.first[row]) + 1,
                float(positions.precision[row]),
            )
        )
    return lists


def rank_lists_of(cfg: CfgNode, queries: int = 8) -> list[RankList]:
    """Return rank lists of the configuration's model under its first protocol."""
    found = extract(cfg)
    return nearest(found, found.plan.protocols[0], queries)
