"""Scoring at real sizes: this package's counting against loops over queries, its re-ranking against
fast-reid's, and sparse affinity inference against whole matrices.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from fastreid.evaluation.rerank import re_ranking
from reference.ranking import per_query

from speed_parts.measure import Subject
from speed_parts.sizes import size
from speed_parts.trees import llcm_names, regdb_names, sysu_names
from vireid_plugins.config.shared_keys import AIM_NEIGHBORS
from vireid_plugins.data.batch import INFRARED, VISIBLE
from vireid_plugins.data.datasets import CrossModalityDataset
from vireid_plugins.evaluation.distances import cross_distances
from vireid_plugins.evaluation.evaluate import dataset_of, score
from vireid_plugins.evaluation.feature_table import FeatureTable
from vireid_plugins.evaluation.plan import EvaluationPlan
from vireid_plugins.evaluation.postprocess import PostProcessing
from vireid_plugins.evaluation.protocols import PROTOCOLS, Protocol
from vireid_plugins.evaluation.trials import sides
from vireid_plugins.evaluation.types import Floats

WIDTH = size(2048, 16)
# Of the identities.
SHARE = size(1.0, 0.05)
TREES = {"SYSUMM01": sysu_names, "RegDB": regdb_names, "LLCM": llcm_names}


def real_test_set(folder: Path, name: str, share: float = SHARE) -> tuple[CrossModalityDataset, Floats, list[str]]:
    """Return a data set of real size, features (n, WIDTH) that usually rank a correct match first, and their paths.

    Args:
        folder: a scratch folder.
        name: name of the data set.
        share: share of its identities.
    """
    split = 1 if name == "RegDB" else None
    target = folder / f"test {share}" / name
    if not target.is_dir():
        TREES[name](target, share)
    dataset = dataset_of(name, target, split)
    items = [*dataset.query, *dataset.gallery]
    identities = np.array([identity for _, identity, _ in items])
    rng = np.random.default_rng(0)
    centers = rng.standard_normal((identities.max() + 1, WIDTH), dtype=np.float32)
    features = centers[identities] + 8 * rng.standard_normal((len(items), WIDTH), dtype=np.float32)
    return dataset, features, [dataset.relative(item) for item in items]


def _counting(names: tuple[str, ...], folder: Path, device: str) -> Callable[[], object]:
    protocols = [PROTOCOLS[name] for name in names]
    dataset, features, paths = real_test_set(folder, protocols[0].dataset)
    return lambda: score(features, paths, EvaluationPlan(dataset, protocols), device=device)


def _loops(names: tuple[str, ...], folder: Path, device: str) -> Callable[[], object]:
    protocols = [PROTOCOLS[name] for name in names]
    dataset, features, paths = real_test_set(folder, protocols[0].dataset)

    def run() -> None:
        plan = EvaluationPlan(dataset, protocols).draw()
        of = matrices(plan, features, paths)
        for protocol in protocols:
            _loop_over_trials(plan, of, protocol)

    return run


def _loop_over_trials(plan: EvaluationPlan, features: dict[int, Floats], protocol: Protocol) -> None:
    query, gallery = sides(protocol)
    for rows, columns in plan.trials(protocol):
        distance = -features[query][rows] @ features[gallery][columns].T
        left, right = plan.images.labels[query], plan.images.labels[gallery]
        labels = (left.ids[rows], right.ids[columns], left.cams[rows], right.cams[columns])
        per_query(distance, *labels, protocol.drop, protocol.cmc)


def matrices(plan: EvaluationPlan, features: Floats, paths: list[str]) -> dict[int, Floats]:
    """Return the normalized features of each modality."""
    table = FeatureTable(plan.images, features, paths)
    return {modality: table.of(modality) for modality in (VISIBLE, INFRARED)}


def _one_trial(folder: Path, name: str = "sysu/official/all/1shot") -> tuple[Floats, Floats]:
    dataset, features, paths = real_test_set(folder, "SYSUMM01")
    protocol = PROTOCOLS[name]
    plan = EvaluationPlan(dataset, [protocol]).draw()
    of = matrices(plan, features, paths)
    rows, columns = plan.trials(protocol)[0]
    return of[INFRARED][rows], of[VISIBLE][columns]


def rerank_here(folder: Path, device: str) -> Callable[[], object]:
    """Prepare the re-ranking of a trial by this package."""
    query, gallery = _one_trial(folder)
    return lambda: PostProcessing(rerank="ordinary").distance(query, gallery)


def rerank_fastreid(folder: Path, device: str) -> Callable[[], object]:
    """Prepare the re-ranking of a trial by fast-reid, from its distances on."""
    query, gallery = _one_trial(folder)

    def run() -> Floats:
        every = np.concatenate([query, gallery])
        distance = np.sqrt(np.maximum(2 - 2 * every @ every.T, 0))
        count = len(query)
        ranked: Floats = re_ranking(distance[:count, count:], distance[:count, :count], distance[count:, count:])
        return ranked

    return run


def _affinity(protocol: str, folder: Path, device: str) -> Callable[[], object]:
    """Prepare affinity inference of a trial by this package."""
    query, gallery = _one_trial(folder, protocol)
    post = PostProcessing(affinity=AIM_NEIGHBORS).at(protocol)
    return lambda: post.distance(query, gallery)


def _affinity_dense(protocol: str, folder: Path, device: str) -> Callable[[], object]:
    """Prepare it with whole matrices, as the public code computes it."""
    query, gallery = _one_trial(folder, protocol)
    ((_, k1, k2),) = PostProcessing(affinity=AIM_NEIGHBORS).at(protocol).affinity

    def top(similar: Floats) -> Floats:
        least = np.sort(similar, axis=1)[:, -min(k1, len(gallery)), None]
        kept: Floats = np.where(similar >= least, similar, 0)
        return kept

    def unit(rows: Floats) -> Floats:
        divided: Floats = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
        return divided

    def run() -> Floats:
        among, across = gallery @ gallery.T, query @ gallery.T
        nearest = np.argsort(-among, axis=1)[:, :k2]
        distance: Floats = -unit(top(across)) @ unit(top(among)[nearest].mean(1)).T - across
        return distance

    return run


def _without(protocol: str, folder: Path, device: str) -> Callable[[], object]:
    """Prepare the distances of a trial."""
    query, gallery = _one_trial(folder, protocol)
    return lambda: cross_distances(query, gallery, "cosine")


OFFICIAL = tuple(f"sysu/official/{mode}/{shots}shot" for mode in ("all", "indoor") for shots in (1, 10))
_TASKS = {
    "SYSU-MM01, the four official protocols": OFFICIAL,
    "RegDB, both directions": ("regdb/v2i", "regdb/i2v"),
    "LLCM full, both directions": ("llcm/full/v2i", "llcm/full/i2v"),
    "LLCM, v2i and i2v, 10 trials": ("llcm/v2i", "llcm/i2v"),
}
SUBJECTS = [
    *(
        subject
        for task, names in _TASKS.items()
        for subject in (
            Subject(task, "counting", partial(_counting, names)),
            Subject(task, "per-query loops", partial(_loops, names), slow=True),
        )
    ),
    Subject("re-ranking of one SYSU-MM01 trial", "this package", rerank_here),
    Subject("re-ranking of one SYSU-MM01 trial", "fast-reid", rerank_fastreid, slow=True),
    *(
        Subject(f"affinity inference of one trial of {protocol}", way, partial(prepare, protocol))
        for protocol in ("sysu/official/all/1shot", "sysu/official/all/10shot")
        for way, prepare in (("sparse", _affinity), ("dense", _affinity_dense), ("cosines alone", _without))
    ),
]
