"""Histograms of cross-modality cosine distances, within an identity and between identities.

VI-ReID papers use this figure to show that a method pulls the two modalities of an identity together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vireid_plugins.data.batch import INFRARED, VISIBLE
from vireid_plugins.evaluation.types import Floats
from vireid_plugins.visualize._mpl import new_figure
from vireid_plugins.visualize.retrieve import Extraction

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


def draw_separation(rows: Sequence[tuple[str, Separation]]) -> Any:
    """Return a matplotlib figure with one panel per model and shared axes.

    Args:
        rows: names and histograms, for example of a baseline and a method.
    """
    figure = new_figure(5.5 * len(rows), 4)
    panels = figure.subplots(1, len(rows), squeeze=False, sharex=True, sharey=True)[0]
    for axes, (name, one) in zip(panels, rows, strict=True):
        for density, label, color, mean in (
            (one.intra, "same identity", "tab:green", one.intra_mean),
            (one.inter, "different identities", "tab:red", one.inter_mean),
        ):
            axes.stairs(density, one.edges, fill=True, alpha=0.45, color=color, label=f"{label}, mean {mean:.2f}")
            axes.axvline(mean, color=color, linestyle="--", linewidth=1)
        axes.set_title(f"{name}: gap {one.inter_mean - one.intra_mean:.2f}")
        axes.set_xlabel("cosine distance between a visible and an infrared image")
        axes.legend(fontsize="small")
    panels[0].set_ylabel("density")
    return figure
