"""Histograms of cosine distances across the modalities: one identity's images against different identities'.

The figure that AGW's followers print to show that a method pulls an identity's two modalities together.
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
# Rows of the distance matrix at a time: 512 x 6,775 float32 are 14 MB.
BLOCK = 512


@dataclass(frozen=True)
class Separation:
    """Densities of 1 - cosine between visible and infrared images.

    Attributes:
        edges: (BINS + 1,) of the bins.
        intra: (BINS,) density of pairs of one identity.
        inter: (BINS,) density of pairs of different identities.
        intra_mean: mean distance of the first.
        inter_mean: mean distance of the second.
    """

    edges: Floats
    intra: Floats
    inter: Floats
    intra_mean: float
    inter_mean: float


def separation(found: Extraction) -> Separation:
    """Count all pairs of a visible and an infrared test image."""
    edges = np.linspace(0, 2, BINS + 1)
    counts, sums, pairs = np.zeros((2, BINS)), np.zeros(2), np.zeros(2)
    visible, infrared = found.matrices[VISIBLE], found.matrices[INFRARED]
    ids = found.images.labels
    for start in range(0, len(infrared), BLOCK):
        rows = slice(start, start + BLOCK)
        distance = 1 - infrared[rows] @ visible.T
        same = ids[INFRARED].ids[rows, None] == ids[VISIBLE].ids
        for number, mask in enumerate((same, ~same)):
            chosen = distance[mask]
            counts[number] += np.histogram(chosen.clip(0, 2), edges)[0]
            sums[number] += chosen.sum(dtype=np.float64)
            pairs[number] += len(chosen)
    density = counts / np.maximum(pairs, 1)[:, None] / np.diff(edges)
    means = sums / np.maximum(pairs, 1)
    return Separation(edges, density[0], density[1], float(means[0]), float(means[1]))


def draw_separation(rows: Sequence[tuple[str, Separation]]) -> Any:
    """Return a matplotlib figure, one panel a model, with the same axes.

    Args:
        rows: names and histograms, for instance of a baseline and a method.
    """
    figure = new_figure(5.5 * len(rows), 4)
    panels = figure.subplots(1, len(rows), squeeze=False, sharex=True, sharey=True)[0]
    for axes, (name, found) in zip(panels, rows, strict=True):
        for density, label, colour, mean in (
            (found.intra, "same identity", "tab:green", found.intra_mean),
            (found.inter, "different identities", "tab:red", found.inter_mean),
        ):
            axes.stairs(density, found.edges, fill=True, alpha=0.45, color=colour, label=f"{label}, mean {mean:.2f}")
            axes.axvline(mean, color=colour, linestyle="--", linewidth=1)
        axes.set_title(f"{name}: gap {found.inter_mean - found.intra_mean:.2f}")
        axes.set_xlabel("cosine distance between a visible and an infrared image")
        axes.legend(fontsize="small")
    panels[0].set_ylabel("density")
    return figure
