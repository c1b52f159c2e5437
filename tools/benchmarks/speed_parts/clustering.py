"""What an epoch without labels costs besides its features and neighbors: Jaccard distances, DBSCAN, CMA's pairs."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from fastreid.utils.compute_dist import compute_jaccard_distance
from sklearn.cluster import DBSCAN

from speed_parts.measure import Subject
from speed_parts.ranking import Watch
from speed_parts.sizes import size
from vireid_plugins.methods.adca import associated_pairs
from vireid_plugins.unsupervised import neighbors
from vireid_plugins.unsupervised.clusters import cluster

# SYSU-MM01's visible and infrared training images, its identities, and the width of their features.
VISIBLE, INFRARED, PEOPLE, WIDTH = size((22_258, 11_909, 395, 2048), (400, 300, 10, 16))
FEW = size(4000, 200)
# Of the identities' own directions: how far images of one lie apart; at 2 hardly any are in a cluster.
NOISES = (1.0, 2.0)
K1, K2, EPS, SAMPLES = 30, 6, 0.6, 4


def images_of(count: int, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Return features (count, WIDTH), means of an image's and its mirror image's, and the identities (count,).

    Sets of any size have the same identities, seen by four cameras.
    """
    everywhere, rng = np.random.default_rng(0), np.random.default_rng([0, count])
    centers = everywhere.standard_normal((PEOPLE, 1, 64)) + 0.6 * everywhere.standard_normal((PEOPLE, 4, 64))
    wide = everywhere.standard_normal((64, WIDTH), dtype=np.float32)
    person, camera = rng.integers(0, PEOPLE, count), rng.integers(0, 4, count)
    image = centers[person, camera] + noise * rng.standard_normal((count, 64))
    views = [(one.astype(np.float32)) @ wide for one in (image, image + 0.3 * rng.standard_normal(image.shape))]
    found: np.ndarray = sum(view / np.linalg.norm(view, axis=1, keepdims=True) for view in views) / 2
    return found.astype(np.float32), person


def clusters_of(features: np.ndarray) -> np.ndarray:
    """Return the labels (N,) with the released numbers."""
    return cluster(features, k1=K1, k2=K2, eps=EPS, min_samples=SAMPLES)


def _after_neighbors(noise: float, folder: Path, device: str) -> Callable[[], object]:
    features, _ = images_of(VISIBLE, noise)
    near = neighbors.nearest(features, K1)

    def run() -> dict[str, float]:
        with Watch() as before:
            pass
        with Watch() as watch, mock.patch.object(neighbors, "nearest", return_value=near):
            labels = clusters_of(features)
        return {
            "GiB beyond features and neighbors": (watch.most - before.most) / 2**30,
            "clusters": float(labels.max() + 1),
            "noise": float((labels < 0).mean()),
        }

    return run


def _few(dense: bool, folder: Path, device: str) -> Callable[[], object]:
    features, _ = images_of(FEW, NOISES[0])

    def run() -> None:
        if not dense:
            clusters_of(features)
            return
        distances = compute_jaccard_distance(torch.from_numpy(features), k1=K1, k2=K2, search_option=3)
        DBSCAN(eps=EPS, min_samples=SAMPLES, metric="precomputed").fit_predict(distances)

    return run


def _pairs(folder: Path, device: str) -> Callable[[], object]:
    sets = {name: images_of(count, NOISES[0]) for name, count in (("visible", VISIBLE), ("infrared", INFRARED))}
    features, labels = ({name: one[part] for name, one in sets.items()} for part in (0, 1))

    def run() -> dict[str, float]:
        with Watch() as before:
            pass
        with Watch() as watch:
            pairs = associated_pairs(features, labels, 0.5)
        return {"GiB beyond features": (watch.most - before.most) / 2**30, "pairs": float(len(pairs.counts))}

    return run


_FEW = f"clusters of {FEW:,} x {WIDTH:,}, with the neighbors"
_PAIRS = f"CMA's pairs of {VISIBLE:,} and {INFRARED:,} images x {WIDTH:,}"
SUBJECTS = [
    *(
        Subject(
            f"clusters of {VISIBLE:,} x {WIDTH:,}, given the neighbors, noise {noise:g}",
            "this package",
            partial(_after_neighbors, noise),
            items=VISIBLE,
        )
        for noise in NOISES
    ),
    Subject(_FEW, "this package", partial(_few, False), items=FEW),
    Subject(_FEW, "fast-reid's dense distances", partial(_few, True), items=FEW),
    Subject(_PAIRS, "this package", _pairs, slow=True, items=VISIBLE),
]
