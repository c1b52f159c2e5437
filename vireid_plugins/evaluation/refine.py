"""What changes a ranking after extraction: query expansion and re-ranking. Off by default, printed when on."""

from dataclasses import dataclass

import numpy as np
import torch
from fastreid.config import CfgNode
from fastreid.evaluation.query_expansion import aqe

from vireid_plugins.errors import FeatureError
from vireid_plugins.evaluation.places import Floats
from vireid_plugins.evaluation.rerank import rerank


@dataclass(frozen=True)
class Refinement:
    """Query expansion first, then re-ranking, each over the queries and the gallery of one trial.

    Attributes:
        rerank: form of the k-reciprocal re-ranking (`rerank.FORMS`); empty is none.
        k1: see `rerank.rerank`.
        k2: see `rerank.rerank`.
        lambda_: see `rerank.rerank`.
        expansions: how often every feature is replaced by the mean of its neighbours (fast-reid's `aqe`); 0 is none.
        neighbours: how many, the image itself included.
        alpha: the neighbours' weights are their similarities to this power.
    """

    rerank: str = ""
    k1: int = 20
    k2: int = 6
    lambda_: float = 0.3
    expansions: int = 0
    neighbours: int = 5
    alpha: float = 3.0

    @classmethod
    def from_config(cls, cfg: CfgNode) -> "Refinement":
        """Return what `TEST.RERANK` and `TEST.AQE` ask for."""
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

    def distance(self, query: Floats, gallery: Floats) -> Floats:
        """Return the refined distances (Q, G) of L2-normalised features (Q, D) and (G, D).

        Re-ranking takes squared Euclidean distances, 2 - 2 cos.

        Raises:
            FeatureError: there are fewer images than neighbours asked for.
        """
        if self.expansions:
            if not 0 < self.neighbours < len(query) + len(gallery):
                raise FeatureError(
                    f"query expansion: {self.neighbours} neighbours of {len(query) + len(gallery)} images; set "
                    "TEST.AQE.QE_K to fewer"
                )
            expanded = aqe(
                torch.from_numpy(query), torch.from_numpy(gallery), self.expansions, self.neighbours, self.alpha
            )
            query, gallery = (part.numpy() / np.linalg.norm(part.numpy(), axis=1, keepdims=True) for part in expanded)
        if not self.rerank:
            cosine: Floats = -(query @ gallery.T)
            return cosine
        every = np.concatenate([query, gallery])
        squared = every @ every.T
        squared *= -2
        squared += 2
        np.maximum(squared, 0, out=squared)
        np.fill_diagonal(squared, 0)
        return rerank(squared, len(query), self.k1, self.k2, self.lambda_, self.rerank)


NONE = Refinement()
