"""t-SNE of test features (van der Maaten and Hinton, JMLR 2008, in scikit-learn's implementation).

Colour is the identity, the marker the modality: the figure that shows whether an identity's two modalities meet.
"""

from typing import Any, NamedTuple

import numpy as np
from sklearn.manifold import TSNE

from vireid_plugins.data.datasets.base import MODALITIES
from vireid_plugins.errors import DataError
from vireid_plugins.evaluation.types import Floats
from vireid_plugins.visualize._mpl import matplotlib, new_figure
from vireid_plugins.visualize.retrieve import Extraction

MARKERS = {0: "o", 1: "^"}


class MapPoint(NamedTuple):
    """An image in the plane."""

    x: float
    y: float
    identity: int
    modality: int
    path: str


def project(features: Floats, seed: int = 0) -> Floats:
    """Return (n, 2) coordinates of (n, D) features, the same at each call.

    Raises:
        DataError: there are fewer than four images.
    """
    if len(features) < 4:
        raise DataError(f"t-SNE needs at least four images, the test set has {len(features)}")
    perplexity = min(30.0, (len(features) - 1) / 3)
    placed: Floats = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(features)
    return placed


def embedding_map(found: Extraction, identities: int = 12, images: int = 8, seed: int = 0) -> list[MapPoint]:
    """Place images of some identities in the plane.

    Args:
        found: features of a test set.
        identities: how many, spread evenly over those of both modalities.
        images: of an identity and modality, at most.
        seed: of the choice of images and of t-SNE.

    Raises:
        DataError: no identity has both modalities, or there are fewer than four images.
    """
    rng = np.random.default_rng(seed)
    labels = found.images.labels
    shared = np.intersect1d(labels[0].ids, labels[1].ids)
    if not len(shared):
        raise DataError(f"no test identity of {found.dataset.title} has images of both modalities to place")
    chosen = shared[np.linspace(0, len(shared) - 1, min(identities, len(shared))).astype(int)]
    rows: list[tuple[int, int, int]] = []
    for identity in chosen:
        for modality in MODALITIES:
            every = np.flatnonzero(labels[modality].ids == identity)
            picked = rng.permutation(every)[:images]
            rows += [(int(identity), modality, int(row)) for row in sorted(picked)]
    features = np.stack([found.matrices[modality][row] for _, modality, row in rows])
    placed = project(features, seed)
    return [
        MapPoint(float(x), float(y), identity, modality, found.images.paths[modality][row])
        for (x, y), (identity, modality, row) in zip(placed, rows, strict=True)
    ]


def draw_embedding_map(points: list[MapPoint], title: str = "") -> Any:
    """Return a matplotlib figure of the points."""
    figure = new_figure(7, 6)
    axes = figure.add_subplot()
    identities = sorted({point.identity for point in points})
    colours = matplotlib("cm").ScalarMappable(cmap="nipy_spectral")
    colours.set_clim(-0.5, len(identities) + 0.5)
    for number, identity in enumerate(identities):
        for modality, name in MODALITIES.items():
            mine = [point for point in points if (point.identity, point.modality) == (identity, modality)]
            axes.scatter(
                [point.x for point in mine],
                [point.y for point in mine],
                color=colours.to_rgba(number),
                marker=MARKERS[modality],
                edgecolors="black",
                linewidths=0.4,
                label=name if number == 0 else None,
            )
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(title or f"t-SNE: {len(identities)} identities, one a colour")
    axes.legend(loc="best")
    return figure
