"""PGM, progressive graph matching (Wu and Ye, CVPR 2023; behavior of the repository zesenwu23/USL-VI-ReID).

The cost of a visible and an infrared cluster is exp(-c_i . c_j) of their normalized means. Round 1 assigns to every
cluster of the smaller side one of the larger side, at the least total cost; the rest of the larger side is assigned to
the smaller side again, until none is left. So a cluster of the smaller side may have several partners, and its own map
keeps that of the first round.

The released code stops after round 2 and mixes up the numbers of its clusters. This is repaired here: a cluster of
round 2 gets the partner that the assignment gave to it.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vireid_plugins.data.batch import NONE
from vireid_plugins.errors import ConfigError, require_name
from vireid_plugins.unsupervised.association import ASSOCIATION_REGISTRY, Associated, Association, Floats, Labels

Ints = npt.NDArray[np.int64]


def matched(cost: Floats, rounds: int = 0) -> tuple[Ints, Ints]:
    """Return the partners of the larger side A (A,) and those of the smaller side B (B,); -1: none.

    Args:
        cost: (A, B), finite, A >= B.
        rounds: largest number of rounds; 0: until all of A have a partner.
    """
    from scipy.optimize import linear_sum_assignment  # not at the top: scipy takes a tenth of a second to import

    larger, smaller = (np.full(size, NONE, dtype=np.int64) for size in cost.shape)
    left, number = np.arange(len(larger)), 0
    while len(left) and len(smaller) and (not rounds or number < rounds):
        rows, columns = linear_sum_assignment(cost[left])
        larger[left[rows]] = columns
        if not number:
            smaller[columns] = left[rows]
        left, number = np.delete(left, rows), number + 1
    return larger, smaller


@ASSOCIATION_REGISTRY.register()
class PGM(Association):
    """Maps the clusters of each modality to those of the other.

    Args:
        rounds: rounds of matching; 0: until every cluster has a partner. The released code has 2.
        if_fewer: with fewer visible than infrared clusters, "swap" matches the infrared ones as the larger side, and
            "skip" associates nothing, as the released code for SYSU-MM01 does.

    Raises:
        ConfigError: the name is unknown, or the number negative.
    """

    def __init__(self, *, rounds: int = 0, if_fewer: str = "swap") -> None:
        require_name("USL.ASSOCIATE.PGM.IF_FEWER", if_fewer, ("skip", "swap"))
        if rounds < 0:
            raise ConfigError(f"USL.ASSOCIATE.PGM.ROUNDS: must be 0 or more, got {rounds}")
        self.rounds, self.if_fewer = rounds, if_fewer

    def __call__(
        self, features: Mapping[str, Floats], labels: Mapping[str, Labels], memories: Mapping[str, Tensor]
    ) -> Associated:
        """Return the maps, which are empty where the epoch is skipped, and the memories as they are."""
        visible, infrared = (memories[name].detach().cpu().numpy() for name in ("visible", "infrared"))
        cost = np.exp(-(visible @ infrared.T))
        fewer = len(visible) < len(infrared)
        if fewer and self.if_fewer == "skip":
            return {}, dict(memories)
        larger, smaller = matched(cost.T if fewer else cost, self.rounds)
        r2i, i2r = (smaller, larger) if fewer else (larger, smaller)
        return {"r2i": torch.from_numpy(r2i), "i2r": torch.from_numpy(i2r)}, dict(memories)
