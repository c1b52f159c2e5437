"""CMA, cross-modality memory aggregation (Yang et al., ACM MM 2022; behavior of the repository yangbincv/ADCA).

Pairs of a visible and an infrared image are similar if their features' inner product s is at least a threshold. Pairs
of clusters are taken by their number of similar image pairs, equal ones by their greatest s, each cluster at most once.
For a pair (i, j), with k the share that is kept:

    M_V[i] <- k M_V[i] + (1 - k) M_R[j]

not normalized again. The released code sorts all image pairs; here they are counted block by block.

Shapes: `N_V`, `N_R` images, `D` embedding, `K_V`, `K_R` clusters.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vireid_plugins.data.batch import NONE
from vireid_plugins.errors import ConfigError, require_name
from vireid_plugins.unsupervised.association import ASSOCIATION_REGISTRY, Associated, Association, Floats, Labels

# Visible images whose similarities are in memory at a time: 100 MB with SYSU-MM01's infrared images.
BLOCK = 2048


class Pairs(NamedTuple):
    """Associated clusters in the order in which they were taken.

    Attributes:
        clusters: (n, 2) visible and infrared cluster.
        counts: (n,) similar image pairs of each.
    """

    clusters: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]


def associated_pairs(features: Mapping[str, Floats], labels: Mapping[str, Labels], threshold: float) -> Pairs:
    """Return the pairs of clusters that have the most similar image pairs.

    Args:
        features: "visible" (N_V, D) and "infrared" (N_R, D).
        labels: clusters (N_V,) and (N_R,); -1: none.
        threshold: smallest inner product of a similar pair.
    """
    counts, greatest = _similar(features, labels, threshold)
    visible, infrared = np.nonzero(counts)
    order = np.lexsort((-greatest[visible, infrared], -counts[visible, infrared]))
    taken: tuple[set[int], set[int]] = (set(), set())
    pairs = []
    for i, j in zip(visible[order].tolist(), infrared[order].tolist(), strict=True):
        if i not in taken[0] and j not in taken[1]:
            pairs.append((i, j))
            taken[0].add(i)
            taken[1].add(j)
    clusters = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return Pairs(clusters, counts[clusters[:, 0], clusters[:, 1]])


def _similar(
    features: Mapping[str, Floats], labels: Mapping[str, Labels], threshold: float
) -> tuple[npt.NDArray[np.int64], Floats]:
    """Return the number (K_V, K_R) of similar image pairs of each pair of clusters, and the greatest inner product."""
    visible, infrared = (np.flatnonzero(labels[name] != NONE) for name in ("visible", "infrared"))
    rows, columns = labels["visible"][visible], labels["infrared"][infrared]
    shape = int(rows.max(initial=NONE)) + 1, int(columns.max(initial=NONE)) + 1
    counts = np.zeros(shape, np.int64)
    greatest = np.full(shape, -np.inf, dtype=features["visible"].dtype)
    others = features["infrared"][infrared].T
    for start in range(0, len(visible), BLOCK):
        block = slice(start, start + BLOCK)
        similarities = features["visible"][visible[block]] @ others
        row, column = np.nonzero(similarities >= threshold)
        pair = rows[block][row] * shape[1] + columns[column]
        counts += np.bincount(pair, minlength=counts.size).reshape(shape)
        np.maximum.at(greatest.ravel(), pair, similarities[row, column])
    return counts, greatest


@ASSOCIATION_REGISTRY.register()
class CMA(Association):
    """Mixes the memory rows of associated clusters at the start of an epoch.

    Args:
        threshold: smallest inner product of the features of a similar pair of images.
        keep: k, share of its own row that a mixed row keeps.
        into: memories that are mixed, "visible", as in the released code, or "both".

    Raises:
        ConfigError: the name is unknown, or a number out of range.
    """

    def __init__(self, *, threshold: float = 0.5, keep: float = 0.1, into: str = "visible") -> None:
        require_name("USL.ASSOCIATE.CMA.INTO", into, ("visible", "both"))
        if not 0 <= keep <= 1:
            raise ConfigError(f"USL.ASSOCIATE.CMA.KEEP: must be 0 to 1, got {keep}")
        if not -1 <= threshold <= 1:
            raise ConfigError(f"USL.ASSOCIATE.CMA.THRESHOLD: must be -1 to 1, got {threshold}")
        self.threshold, self.keep, self.into = threshold, keep, into

    def __call__(
        self, features: Mapping[str, Floats], labels: Mapping[str, Labels], memories: Mapping[str, Tensor]
    ) -> Associated:
        """Return the pairs as maps, -1 for clusters without a partner, and the mixed memories."""
        visible, infrared = torch.from_numpy(associated_pairs(features, labels, self.threshold).clusters).T
        before = dict(memories)
        maps = {
            "r2i": torch.full((len(before["visible"]),), NONE).index_put((visible,), infrared),
            "i2r": torch.full((len(before["infrared"]),), NONE).index_put((infrared,), visible),
        }
        after = {name: rows.clone() for name, rows in before.items()}
        after["visible"][visible] = self._mixed(before["visible"][visible], before["infrared"][infrared])
        if self.into == "both":
            after["infrared"][infrared] = self._mixed(before["infrared"][infrared], before["visible"][visible])
        return maps, after

    def _mixed(self, own: Tensor, other: Tensor) -> Tensor:
        return self.keep * own + (1 - self.keep) * other
