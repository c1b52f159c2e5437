"""Runs a trained model over a test set and finds the nearest gallery images of some queries."""

from typing import Any

import numpy as np
from fastreid.config import CfgNode
from fastreid.evaluation import inference_on_dataset

from vireid_plugins.analysis.rank_lists import RankList
from vireid_plugins.data import build_test_loader
from vireid_plugins.data.datasets import CrossModalityDataset
from vireid_plugins.engine.train import load_model
from vireid_plugins.evaluation.catalogue import Catalogue, FeatureTable
from vireid_plugins.evaluation.draws import draw_trials
from vireid_plugins.evaluation.evaluate import sides
from vireid_plugins.evaluation.evaluator import FeatureCollector
from vireid_plugins.evaluation.metrics import dropped
from vireid_plugins.evaluation.places import Floats
from vireid_plugins.evaluation.protocols import Protocol, protocols_of


def extract(cfg: CfgNode) -> tuple[CrossModalityDataset, Floats, list[str]]:
    """Return the first test set, the features (n, D) of its images and their paths relative to its folder.

    Raises:
        ConfigError: there is no checkpoint.
        DataError: the checkpoint or the data set cannot be read.
    """
    model = load_model(cfg)
    loader: Any = build_test_loader(cfg, cfg.DATASETS.TESTS[0])[0]
    collector = FeatureCollector(loader.dataset.dataset)
    inference_on_dataset(model, loader, collector, flip_test=cfg.TEST.FLIP.ENABLED)
    gathered = collector.gathered()
    assert gathered is not None
    return collector.dataset, *gathered


def nearest(
    dataset: CrossModalityDataset,
    features: Floats,
    paths: list[str],
    protocol: Protocol,
    queries: int = 8,
    top: int = 10,
) -> list[RankList]:
    """Return the rank lists of `queries` queries, spread evenly over those that have a match, in trial 0.

    Args:
        dataset: the test set.
        features: (n, D).
        paths: n paths relative to the set's folder.
        protocol: whose gallery and drop rule are used.
        queries: how many lists.
        top: length of a list.
    """
    catalogue = Catalogue(dataset)
    table = FeatureTable(catalogue, features, paths)
    rows, columns = catalogue.positions(draw_trials(dataset, protocol)[0])
    query, gallery = sides(protocol)
    table.require(protocol, query, [rows])
    table.require(protocol, gallery, [columns])
    query_labels, gallery_labels = catalogue.labels_at(query, rows), catalogue.labels_at(gallery, columns)
    hidden = dropped(query_labels, gallery_labels, protocol.drop)
    right = (query_labels.ids[:, None] == gallery_labels.ids) & ~hidden
    chosen = np.flatnonzero(right.any(axis=1))
    chosen = chosen[np.linspace(0, len(chosen) - 1, min(queries, len(chosen))).astype(int)]
    distance = -table.of(query)[rows[chosen]] @ table.of(gallery)[columns].T
    lists = []
    for number, row in enumerate(chosen):
        order = np.argsort(np.where(hidden[row], np.inf, distance[number]), kind="stable")[:top]
        order = order[~hidden[row][order]]
        lists.append(
            RankList(
                dataset.folder / catalogue.paths[query][rows[row]],
                [dataset.folder / catalogue.paths[gallery][columns[g]] for g in order],
                [bool(right[row, g]) for g in order],
            )
        )
    return lists


def rank_lists_of(cfg: CfgNode, queries: int = 8) -> list[RankList]:
    """Return rank lists of the configuration's model under its first protocol."""
    dataset, features, paths = extract(cfg)
    protocol = protocols_of(type(dataset).__name__, cfg.TEST.PROTOCOLS)[0]
    return nearest(dataset, features, paths, protocol, queries)
