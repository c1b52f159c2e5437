"""Post-processing: query expansion, re-ranking, affinity inference. Off by default; results name it when it is on."""

from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from fastreid.config import CfgNode
from fastreid.evaluation.query_expansion import aqe

from vireid_plugins.config.check import require_neighbors
from vireid_plugins.errors import ConfigError, FeatureError
from vireid_plugins.evaluation import lengths
from vireid_plugins.evaluation.affinity import affinity_distance
from vireid_plugins.evaluation.distances import cross_distances, squared_distances
from vireid_plugins.evaluation.rerank import rerank
from vireid_plugins.evaluation.types import Floats


@dataclass(frozen=True)
class PostProcessing:
    """Query expansion, then re-ranking or affinity inference, each over the queries and the gallery of one trial.

    Attributes:
        rerank: form of the k-reciprocal re-ranking (`RERANK_FORMS`); empty: none.
        k1: see `rerank.rerank`.
        k2: see `rerank.rerank`.
        lambda_: see `rerank.rerank`.
        expansions: number of times every feature is replaced by the mean of its neighbors (fast-reid's `aqe`); 0: none.
        neighbours: number of neighbors, including the image itself.
        alpha: the neighbors' weights are their similarities to this power, at least 0; see `ClippedPower`.
        affinity: rows (pattern of protocols, k1, k2) of affinity inference, of which the first that matches counts;
            empty: none. See `affinity.affinity_distance`.
    """

    rerank: str = ""
    k1: int = 20
    k2: int = 6
    lambda_: float = 0.3
    expansions: int = 0
    neighbours: int = 5
    alpha: float = 3.0
    affinity: tuple[tuple[str, int, int], ...] = ()

    @classmethod
    def from_config(cls, cfg: CfgNode) -> "PostProcessing":
        """Return the post-processing that `TEST.RERANK`, `TEST.AQE` and `TEST.AIM` configure."""
        rerank, expansion = cfg.TEST.RERANK, cfg.TEST.AQE
        return cls(
            rerank=rerank.FORM if rerank.ENABLED else "",
            k1=rerank.K1,
            k2=rerank.K2,
            lambda_=rerank.LAMBDA,
            expansions=expansion.QE_TIME if expansion.ENABLED else 0,
            neighbours=expansion.QE_K,
            alpha=expansion.ALPHA,
            affinity=tuple((row[0], row[1], row[2]) for row in cfg.TEST.AIM.NEIGHBORS) if cfg.TEST.AIM.ENABLED else (),
        )

    def __bool__(self) -> bool:
        return bool(self.rerank or self.expansions or self.affinity)

    def __str__(self) -> str:
        parts = []
        if self.expansions:
            parts.append(f"query expansion ({self.expansions} x {self.neighbours}, alpha {self.alpha:g})")
        if self.rerank:
            parts.append(f"{self.rerank} re-ranking (k1 {self.k1}, k2 {self.k2}, lambda {self.lambda_:g})")
        if len(self.affinity) == 1:
            parts.append("affinity inference (k1 {1}, k2 {2})".format(*self.affinity[0]))
        elif self.affinity:
            parts.append("affinity inference (k1, k2 by protocol)")
        return " + ".join(parts)

    def at(self, protocol: str) -> "PostProcessing":
        """Return the post-processing of a protocol, with the numbers of affinity inference that are its own.

        Raises:
            ConfigError: no row has them.
        """
        rows = [
            row for row in self.affinity if fnmatchcase(protocol, row[0]) or fnmatchcase(protocol, f"{row[0]}/open")
        ]
        if self.affinity and not rows:
            patterns = ", ".join(row[0] for row in self.affinity)
            raise ConfigError(f"TEST.AIM.NEIGHBORS: no row is for {protocol}; there are {patterns}")
        return replace(self, affinity=tuple(rows[:1]))

    def check(self, metric: str) -> None:
        """Raise a `ConfigError` unless the numbers are valid and the metric works with this post-processing."""
        if self.expansions < 0:
            raise ConfigError(f"query expansion (TEST.AQE.QE_TIME): must be at least 0 times, got {self.expansions}")
        if self.expansions and not 0 <= self.alpha < np.inf:
            raise ConfigError(f"query expansion (TEST.AQE.ALPHA): must be at least 0 and finite, got {self.alpha}")
        if self.expansions and metric != "cosine":
            raise ConfigError(f"query expansion (TEST.AQE) needs the cosine, but TEST.METRIC is {metric}")
        if self.rerank and metric == "inner_product":
            raise ConfigError(
                "re-ranking (TEST.RERANK) needs a distance, but TEST.METRIC is inner_product; set it to cosine or "
                "euclidean"
            )
        if self.affinity and (metric != "cosine" or self.rerank):
            reason = (
                "excludes re-ranking (TEST.RERANK)" if self.rerank else f"needs the cosine, but TEST.METRIC is {metric}"
            )
            raise ConfigError(f"affinity inference (TEST.AIM) {reason}")
        for row in self.affinity:
            require_neighbors(row)

    def distance(self, query: Floats, gallery: Floats, metric: str = "cosine") -> Floats:
        """Return the post-processed distances (Q, G); where numbers differ by protocol, those of `at` first.

        Re-ranking uses squared Euclidean distances, which are 2 - 2 cos for normalized features.

        Args:
            query: (Q, D); L2-normalized for the cosine.
            gallery: (G, D); likewise.
            metric: a key of `METRICS`; see `check`.

        Raises:
            FeatureError: the number of neighbors is not below the number of images, or what the post-processing
                computes cannot be ranked.
        """
        if self.expansions:
            query, gallery = self._expanded(query, gallery)
        if self.affinity:
            (_, k1, k2), *_ = self.affinity
            return _rankable(affinity_distance(query, gallery, k1, k2), "affinity inference")
        if not self.rerank:
            return _rankable(np.asarray(cross_distances(query, gallery, metric)), "query expansion")
        squared = squared_distances(np.concatenate([query, gallery]))
        return _rankable(rerank(squared, len(query), self.k1, self.k2, self.lambda_, self.rerank), "re-ranking")

    def _expanded(self, query: Floats, gallery: Floats) -> tuple[Floats, Floats]:
        """Return the expanded features of both sides, L2-normalized."""
        images = len(query) + len(gallery)
        if not 0 < self.neighbours < images:
            raise FeatureError(
                f"query expansion: {self.neighbours} neighbors of {images} images; set TEST.AQE.QE_K to 1 to "
                f"{images - 1}"
            )
        power: Any = self.alpha if float(self.alpha).is_integer() else ClippedPower(self.alpha)
        parts = aqe(torch.from_numpy(query), torch.from_numpy(gallery), self.expansions, self.neighbours, power)
        expanded: Floats = np.concatenate([part.numpy() for part in parts])
        lost = len(lengths.infinite_rows(expanded)) + len(lengths.zero_rows(expanded))
        if lost:
            raise FeatureError(
                f"query expansion: the features of {lost} of {images} images become zero or are not finite; lower "
                "TEST.AQE.QE_K, or turn it off"
            )
        unit = lengths.normalized(expanded)
        return unit[: len(query)], unit[len(query) :]


class ClippedPower:
    """An exponent that is no whole number: a negative similarity, which has no such power, gets the weight 0.

    numpy asks it what a power of an array is, so fast-reid's `aqe` takes it like a number.

    Args:
        alpha: the exponent, at least 0.
    """

    def __init__(self, alpha: float) -> None:
        self.alpha = alpha

    def __array_ufunc__(self, ufunc: Any, method: str, base: Any, *_: Any, **__: Any) -> npt.NDArray[Any]:
        """Return the power of `base`; no other function of numpy takes this exponent."""
        assert (ufunc, method) == (np.power, "__call__")
        power: npt.NDArray[Any] = np.power(np.maximum(base, 0), self.alpha)
        return power


def _rankable(distance: Floats, step: str) -> Floats:
    """Return the distances unless they hold a NaN, which no ranking may see."""
    if not np.isfinite(distance).all():
        raise FeatureError(f"{step}: {np.sum(~np.isfinite(distance))} distances are not finite; check its numbers")
    return distance


NONE = PostProcessing()
