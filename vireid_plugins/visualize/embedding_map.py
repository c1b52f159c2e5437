"""t-SNE of test features (van der Maaten and Hinton, JMLR 2008; scikit-learn's implementation).

Color is the identity and the marker the modality, so the figure shows whether an identity's two modalities overlap.
"""

from typing import Any, NamedTuple

import numpy as np
from sklearn.manifold import TSNE

from vireid_plugins.data.datasets.base import MODALITIES
from vireid_plugins.errors import DataError
from vireid_plugins.evaluation.types import Floats
from vireid_plugins.visualize._mpl import matplotlib
from vireid_plugins.visualize.panels import panels_in, wrapped
from vireid_plugins.visualize.retrieve import Extraction
from vireid_plugins.visualize.style import DEFAULT, INK, SERIES, Style

MARKERS = {0: "o", 1: "^"}
# Opacity of a marker's inside.
FILLS = (1.0, 0.0, 0.35)


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


def draw_embedding_map(points: list[MapPoint], title: str = "", style: Style = DEFAULT) -> Any:
    """Return a matplotlib figure of the points, with a legend of modalities and identities.

    Seven colors that color-blind readers tell apart, each filled, pale and empty, are 21 identities; then they repeat.

    Args:
        points: the points.
        title: above the figure.
        style: the look.
    """
    identities = list(dict.fromkeys(point.identity for point in points))
    with style.applied():
        figure, (axes,) = panels_in(style, 1, 1.05)
        for number, identity in enumerate(identities):
            for modality in MODALITIES:
                group = [point for point in points if (point.identity, point.modality) == (identity, modality)]
                where = [point.x for point in group], [point.y for point in group]
                axes.scatter(*where, marker=MARKERS[modality], s=14, linewidths=0.8, **_look(number))
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_title(wrapped(title or f"t-SNE: {len(identities)} identities", 72 * figure.get_figwidth(), style))
        columns = max(2, min(8, int(style.points // (4.8 * style.font_size))))
        legend = {**_legend(identities), "ncols": columns, "handletextpad": 0.2, "columnspacing": 0.9}
        figure.legend(**legend, loc="outside lower center")
    return figure


def _look(number: int) -> dict[str, Any]:
    """Return the colors of the identity with this number."""
    color, fill = SERIES[number % len(SERIES)], number // len(SERIES) % len(FILLS)
    return {"edgecolors": color, "facecolors": (*matplotlib("colors").to_rgb(color), FILLS[fill])}


def _legend(identities: list[int]) -> dict[str, Any]:
    """Return the markers of both modalities, and of identities unless there are more than looks, with their names."""

    def handle(marker: str, edgecolors: Any, facecolors: Any) -> Any:
        line = matplotlib("lines").Line2D([], [], marker=marker, linestyle="", markersize=4)
        line.set(markeredgecolor=edgecolors, markerfacecolor=facecolors)
        return line

    handles = [handle(MARKERS[modality], INK, "none") for modality in MODALITIES]
    names = list(MODALITIES.values())
    if len(identities) <= len(SERIES) * len(FILLS):
        handles += [handle("s", **_look(number)) for number in range(len(identities))]
        names += [str(identity) for identity in identities]
    return {"handles": handles, "labels": names, "frameon": False}
