"""Runs a trained model over a test set and ranks the gallery for its queries."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from fastreid.config import CfgNode
from fastreid.evaluation import inference_on_dataset

from vireid_plugins.data import build_test_loader
from vireid_plugins.data.batch import INFRARED, VISIBLE
from vireid_plugins.data.datasets import CrossModalityDataset
from vireid_plugins.engine.train import load_model
from vireid_plugins.evaluation.distances import cross_distances
from vireid_plugins.evaluation.evaluate import sides
from vireid_plugins.evaluation.evaluator import FeatureCollector
from vireid_plugins.evaluation.feature_table import Catalogue, FeatureTable
from vireid_plugins.evaluation.metrics import dropped
from vireid_plugins.evaluation.protocols import Protocol, protocols_of
from vireid_plugins.evaluation.rank_positions import Floats, find_places
from vireid_plugins.evaluation.trials import draw_trials
from vireid_plugins.visualize.rank_lists import RankList


@dataclass(frozen=True)
class Extraction:
    """A test set and the features of its images.

    Attributes:
        dataset: the test set.
        features: (n, D).
        paths: n paths relative to the set's folder.
        metric: what ranks the gallery, a key of `METRICS`.
    """

    dataset: CrossModalityDataset
    features: Floats
    paths: list[str]
    metric: str = "cosine"

    @cached_property
    def catalogue(self) -> Catalogue:
        """The images by modality."""
        return Catalogue(self.dataset)

    @cached_property
    def table(self) -> FeatureTable:
        """The features by modality."""
        return FeatureTable(self.catalogue, self.features, self.paths)

    @cached_property
    def matrices(self) -> dict[int, Floats]:
        """L2-normalised features of each modality, in the order of the catalogue."""
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
    loader: Any = build_test_loader(cfg, cfg.DATASETS.TESTS[0])[0]
    collector = FeatureCollector(loader.dataset.dataset)
    inference_on_dataset(model, loader, collector, flip_test=cfg.TEST.FLIP.ENABLED)
    gathered = collector.gathered()
    assert gathered is not None
    return Extraction(collector.dataset, *gathered, cfg.TEST.METRIC)


def first_protocol(cfg: CfgNode, found: Extraction) -> Protocol:
    """Return the protocol that a configuration's figures are drawn under."""
    return protocols_of(type(found.dataset).__name__, cfg.TEST.PROTOCOLS)[0]


def nearest(found: Extraction, protocol: Protocol, queries: int = 8, top: int = 10) -> list[RankList]:
    """Return the rank lists of `queries` queries, spread evenly over those that have a match, in trial 0.

    Images that the protocol does not let a query see stand in the list, marked, where they would rank.

    Args:
        found: features of the test set.
        protocol: whose gallery and drop rule are used.
        queries: how many lists.
        top: length of a list.
    """
    catalogue = found.catalogue
    rows, columns = catalogue.positions(draw_trials(found.dataset, protocol)[0])
    query, gallery = sides(protocol)
    found.table.require(protocol, query, [rows])
    found.table.require(protocol, gallery, [columns])
    query_labels, gallery_labels = catalogue.labels_at(query, rows), catalogue.labels_at(gallery, columns)
    hidden = dropped(query_labels, gallery_labels, protocol.drop)
    same = query_labels.ids[:, None] == gallery_labels.ids
    cosine = found.metric == "cosine"
    left, right = found.table.of(query, cosine)[rows], found.table.of(gallery, cosine)[columns]
    distance = np.asarray(cross_distances(left, right, found.metric))
    places = find_places(
        distance,
        np.arange(len(rows)),
        np.arange(len(columns)),
        query_labels,
        gallery_labels,
        protocol.drop,
        protocol.cmc,
    )
    chosen = np.flatnonzero(places.first >= 0)
    chosen = chosen[np.linspace(0, len(chosen) - 1, min(queries, len(chosen))).astype(int)]
    lists = []
    for row in chosen:
        order = np.argsort(distance[row], kind="stable")[:top]
        lists.append(
            RankList(
                found.dataset.folder / catalogue.paths[query][rows[row]],
                [found.dataset.folder / catalogue.paths[gallery][columns[g]] for g in order],
                [bool(same[row, g]) for g in order],
                [bool(hidden[row, g]) for g in order],
                # From 0 on for the cosine, as it is read.
                [float(distance[row, g]) + cosine for g in order],
                int(places.first[row]) + 1,
                float(places.precision[row]),
            )
        )
    return lists


def rank_lists_of(cfg: CfgNode, queries: int = 8) -> list[RankList]:
    """Return rank lists of the configuration's model under its first protocol."""
    found = extract(cfg)
    return nearest(found, first_protocol(cfg, found), queries)
