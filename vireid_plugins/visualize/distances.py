"""Histograms of cross-modality cosine distances, within an identity and between identities.

VI-ReID papers use this figure to show that a method pulls the two modalities of an identity together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vireid_plugins.data.batch import INFRARED, VISIBLE
from vireid_plugins.evaluation.types import Floats
from vireid_plugins.visualize._mpl import matplotlib
from vireid_plugins.visualize.panels import columns_in, panels_in, wrapped
from vireid_plugins.visualize.retrieve import Extraction
from vireid_plugins.visualize.style import BLUE, DEFAULT, ORANGE, Style

BINS = 60
# Rows of the distance matrix per step: 512 x 6,775 float32 take 14 MB.
BLOCK = 512


@dataclass(frozen=True)
class Separation:
    """Densities of the distance 1 - cosine between visible and infrared images.

    Attributes:
        edges: (BINS + 1,) edges of the bins.
        intra: (BINS,) density over pairs of the same identity.
        inter: (BINS,) density over pairs of different identities.
        intra_mean: mean distance between images of the same identity.
        inter_mean: mean distance between images of different identities.
    """

    edges: Floats
    intra: Floats
    inter: Floats
    intra_mean: float
    inter_mean: float

    @property
    def overlap(self) -> float:
        """The area that both densities cover, 0..1: 0 if a threshold separates all pairs, 1 if none tells anything."""
        return float((np.minimum(self.intra, self.inter) * np.diff(self.edges)).sum())


def separation(found: Extraction) -> Separation:
    """Return the histograms over all pairs of a visible and an infrared test image."""
    edges = np.linspace(0, 2, BINS + 1)
    counts, sums, pairs = np.zeros((2, BINS)), np.zeros(2), np.zeros(2)
    visible, infrared = found.matrices[VISIBLE], found.matrices[INFRARED]
    ids = found.images.labels
    for start in range(0, len(infrared), BLOCK):
        rows = slice(start, start + BLOCK)
        distance = 1 - infrared[rows] @ visible.T
        same = ids[INFRARED].ids[rows, None] == ids[VISIBLE].ids
        for number, mask in enumerate((same, ~same)):
            selected = distance[mask]
            counts[number] += np.histogram(selected.clip(0, 2), edges)[0]
            sums[number] += selected.sum(dtype=np.float64)
            pairs[number] += len(selected)
    density = counts / np.maximum(pairs, 1)[:, None] / np.diff(edges)
    means = sums / np.maximum(pairs, 1)
    return Separation(edges, density[0], density[1], float(means[0]), float(means[1]))


def draw_separation(rows: Sequence[tuple[str, Separation]], style: Style = DEFAULT) -> Any:
    """Return a matplotlib figure with one panel per model and shared axes.

    Args:
        rows: names and histograms, for example of a baseline and a method.
        style: the look.
    """
    with style.applied():
        figure, panels = panels_in(style, len(rows), 0.82, shared=True)
        columns = columns_in(style, len(rows))
        for axes, (name, one) in zip(panels, rows, strict=True):
            for density, label, color, hatch, mean in (
                (one.intra, "same identity", BLUE, "", one.intra_mean),
                (one.inter, "different identities", ORANGE, "/////", one.inter_mean),
            ):
                face = (*matplotlib("colors").to_rgb(color), 0.3)
                axes.stairs(
                    density,
                    one.edges,
                    fill=True,
                    facecolor=face,
                    edgecolor=color,
                    linewidth=0.6,
                    hatch=hatch,
                    label=f"{label}, mean {mean:.2f}",
                )
                axes.axvline(mean, color=color, linestyle="--", linewidth=0.9)
            title = wrapped(name, 72 * figure.get_figwidth() / columns - 3 * style.font_size, style)
            axes.set_title(f"{title}\ngap {one.inter_mean - one.intra_mean:.2f}, overlap {one.overlap:.1%}")
            axes.label_outer()
            axes.margins(y=0.3)
            axes.set_xlim(*_support(rows))
            axes.legend(loc="upper right")
        figure.supxlabel("cosine distance, visible to infrared", fontsize=style.font_size)
        figure.supylabel("density", fontsize=style.font_size)
    return figure


def _support(rows: Sequence[tuple[str, Separation]]) -> tuple[float, float]:
    """Return the range of distances that any of the histograms covers, and a bin more."""
    used = [one.edges[:-1][(one.intra > 0) | (one.inter > 0)] for _, one in rows]
    found = np.concatenate(used)
    step = 2 / BINS
    return max(0.0, float(found.min()) - step), min(2.0, float(found.max()) + 2 * step)
