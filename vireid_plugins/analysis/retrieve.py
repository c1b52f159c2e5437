"""Runs a trained model over a test set and finds the nearest gallery images of some queries."""

from pathlib import Path
from typing import Any

import numpy as np
from fastreid.config import CfgNode
from fastreid.evaluation import inference_on_dataset

from vireid_plugins.analysis.rank_lists import RankList
from vireid_plugins.data import build_test_loader
from vireid_plugins.data.datasets import SYSUMM01
from vireid_plugins.engine.train import load_model
from vireid_plugins.evaluation.draws import sysu_galleries
from vireid_plugins.evaluation.evaluate import labels, normalised
from vireid_plugins.evaluation.evaluator import FeatureCollector
from vireid_plugins.evaluation.metrics import Floats, dropped
from vireid_plugins.evaluation.protocols import Protocol, protocols_of


def extract(cfg: CfgNode) -> tuple[SYSUMM01, Floats, list[str]]:
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
    dataset: SYSUMM01, features: Floats, paths: list[str], protocol: Protocol, queries: int = 8, top: int = 10
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
    features = normalised(features, paths)
    row_of = {path: row for row, path in enumerate(paths)}
    gallery = sysu_galleries(dataset, protocol)[0]
    everyone = [str(Path(path).relative_to(dataset.folder)) for path, _, _ in dataset.query]
    gallery_ids, gallery_cams = labels(gallery)
    query_ids, query_cams = labels(everyone)
    hidden = dropped(query_ids, query_cams, gallery_ids, gallery_cams, protocol.drop)
    right = (query_ids[:, None] == gallery_ids) & ~hidden
    chosen = np.flatnonzero(right.any(axis=1))
    chosen = chosen[np.linspace(0, len(chosen) - 1, min(queries, len(chosen))).astype(int)]
    gallery_features = features[[row_of[path] for path in gallery]]
    lists = []
    for query in chosen:
        distance = 1 - gallery_features @ features[row_of[everyone[query]]]
        order = np.argsort(np.where(hidden[query], np.inf, distance), kind="stable")[:top]
        order = order[~hidden[query][order]]
        lists.append(
            RankList(
                dataset.folder / everyone[query],
                [dataset.folder / gallery[g] for g in order],
                [bool(right[query, g]) for g in order],
            )
        )
    return lists


def rank_lists_of(cfg: CfgNode, queries: int = 8) -> list[RankList]:
    """Return rank lists of the configuration's model under its first protocol."""
    dataset, features, paths = extract(cfg)
    protocol = protocols_of(type(dataset).__name__, cfg.TEST.PROTOCOLS)[0]
    return nearest(dataset, features, paths, protocol, queries)
