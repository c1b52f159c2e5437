"""Post-processing: query expansion and re-ranking. Off by default; results name it when it is on."""

from dataclasses import dataclass

import numpy as np
import torch
from fastreid.config import CfgNode
from fastreid.evaluation.query_expansion import aqe

from vireid_plugins.errors import ConfigError, FeatureError
from vireid_plugins.evaluation.distances import cross_distances, squared_distances
from vireid_plugins.evaluation.rerank import rerank
from vireid_plugins.evaluation.types import Floats


@dataclass(frozen=True)
class PostProcessing:
    """Query expansion followed by re-ranking, each over the queries and the gallery of one trial.

    Attributes:
        rerank: form of the k-reciprocal re-ranking (`RERANK_FORMS`); empty: none.
        k1: see `rerank.rerank`.
        k2: see `rerank.rerank`.
        lambda_: see `rerank.rerank`.
        expansions: number of times every feature is replaced by the mean of its neighbors (fast-reid's `aqe`); 0: none.
        neighbours: number of neighbors, including the image itself.
        alpha: the neighbors' weights are their similarities to this power.
    """

    rerank: str = ""
    k1: int = 20
    k2: int = 6
    lambda_: float = 0.3
    expansions: int = 0
    neighbours: int = 5
    alpha: float = 3.0

    @classmethod
    def from_config(cls, cfg: CfgNode) -> "PostProcessing":
        """Return the post-processing that `TEST.RERANK` and `TEST.AQE` configure."""
        rerank, expansion = cfg.TEST.RERANK, cfg.TEST.AQE
        return cls(
            rerank=rerank.FORM if rerank.ENABLED else "",
            k1=rerank.K1,
            k2=rerank.K2,
            lambda_=rerank.LAMBDA,
            expansions=expansion.QE_TIME if expansion.ENABLED else 0,
            neighbours=expansion.QE_K,
            alpha=expansion.ALPHA,
        )

    def __bool__(self) -> bool:
        return bool(self.rerank or self.expansions)

    def __str__(self) -> str:
        parts = []
        if self.expansions:
            parts.append(f"query expansion ({self.expansions} x {self.neighbours}, alpha {self.alpha:g})")
        if self.rerank:
            parts.append(f"{self.rerank} re-ranking (k1 {self.k1}, k2 {self.k2}, lambda {self.lambda_:g})")
        return " + ".join(parts)

    def check(self, metric: str) -> None:
        """Raise a `ConfigError` unless the metric works with this post-processing."""
        if self.expansions and metric != "cosine":
            raise ConfigError(f"query expansion (TEST.AQE) needs the cosine, but TEST.METRIC is {metric}")
        if self.rerank and metric == "inner_product":
            raise ConfigError(
                "re-ranking (TEST.RERANK) needs a distance, but TEST.METRIC is inner_product; set it to cosine or "
                "euclidean"
            )

    def distance(self, query: Floats, gallery: Floats, metric: str = "cosine") -> Floats:
        """Return the post-processed distances (Q, G).

        Re-ranking uses squared Euclidean distances, which are 2 - 2 cos for normalized features.

        Args:
            query: (Q, D); L2-normalized for the cosine.
            gallery: (G, D); likewise.
            metric: a key of `METRICS`; see `check`.

        Raises:
            FeatureError: the number of neighbors is not below the number of images.
        """
        if self.expansions:
            if not 0 < self.neighbours < len(query) + len(gallery):
                raise FeatureError(
                    f"query expansion: {self.neighbours} neighbors of {len(query) + len(gallery)} images; set "
                    f"TEST.AQE.QE_K to 1 to {len(query) + len(gallery) - 1}"
                )
            expanded = aqe(
                torch.from_numpy(query), torch.from_numpy(gallery), self.expansions, self.neighbours, self.alpha
            )
            query, gallery = (part.numpy() / np.linalg.norm(part.numpy(), axis=1, keepdims=True) for part in expanded)
        if not self.rerank:
            return np.asarray(cross_distances(query, gallery, metric))
        squared = squared_distances(np.concatenate([query, gallery]))
        return rerank(squared, len(query), self.k1, self.k2, self.lambda_, self.rerank)


NONE = PostProcessing()
