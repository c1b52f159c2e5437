"""t-SNE of test features (van der Maaten and Hinton, JMLR 2008; scikit-learn's implementation).

Color is the identity and the marker the modality, so the figure shows whether an identity's two modalities overlap.
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
    """An image and its position in the plane."""

    x: float
    y: float
    identity: int
    modality: int
    path: str


def project(features: Floats, seed: int = 0) -> Floats:
    """Project (n, D) features to (n, 2) coordinates; deterministic for a seed.

    Raises:
        DataError: there are fewer than four images.
    """
    if len(features) < 4:
        raise DataError(f"t-SNE needs at least four images; the test set has {len(features)}")
    perplexity = min(30.0, (len(features) - 1) / 3)
    coordinates: Floats = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(features)
    return coordinates


def embedding_map(found: Extraction, identities: int = 12, images: int = 8, seed: int = 0) -> list[MapPoint]:
    """Project images of some identities to the plane.

    Args:
        found: features of a test set.
        identities: number of identities, spread evenly over those with both modalities.
        images: maximum number of images per identity and modality.
        seed: seed for the choice of images and for t-SNE.

    Raises:
        DataError: no identity has both modalities, or there are fewer than four images.
    """
    rng = np.random.default_rng(seed)
    labels = found.images.labels
    shared = np.intersect1d(labels[0].ids, labels[1].ids)
    if not len(shared):
        raise DataError(f"no test identity of {found.dataset.title} has images of both modalities")
    selected = shared[np.linspace(0, len(shared) - 1, min(identities, len(shared))).astype(int)]
    rows: list[tuple[int, int, int]] = []
    for identity in selected:
        for modality in MODALITIES:
            candidates = np.flatnonzero(labels[modality].ids == identity)
            drawn = rng.permutation(candidates)[:images]
            rows += [(int(identity), modality, int(row)) for row in sorted(drawn)]
    features = np.stack([found.matrices[modality][row] for _, modality, row in rows])
    coordinates = project(features, seed)
    return [
        MapPoint(float(x), float(y), identity, modality, found.images.paths[modality][row])
        for (x, y), (identity, modality, row) in zip(coordinates, rows, strict=True)
    ]


def draw_embedding_map(points: list[MapPoint], title: str = "") -> Any:
    """Return a matplotlib figure of the points."""
    figure = new_figure(7, 6)
    axes = figure.add_subplot()
    identities = sorted({point.identity for point in points})
    colors = matplotlib("cm").ScalarMappable(cmap="nipy_spectral")
    colors.set_clim(-0.5, len(identities) + 0.5)
    for number, identity in enumerate(identities):
        for modality, name in MODALITIES.items():
            group = [point for point in points if (point.identity, point.modality) == (identity, modality)]
            axes.scatter(
                [point.x for point in group],
                [point.y for point in group],
                color=colors.to_rgba(number),
                marker=MARKERS[modality],
                edgecolors="black",
                linewidths=0.4,
                label=name if number == 0 else None,
            )
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(title or f"t-SNE: {len(identities)} identities, one color each")
    axes.legend(loc="best")
    return figure
