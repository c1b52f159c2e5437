"""The sampler of AGW and most methods built on it (Ye et al., TPAMI 2022; behavior of the released code)."""

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from vireid_plugins.data.samplers.base import SAMPLER_REGISTRY, CrossModalitySampler, Indices


@SAMPLER_REGISTRY.register()
class CrossModalityIdentitySampler(CrossModalitySampler):
    """Draws P identities without replacement, and K images of each modality with replacement.

    An epoch has floor(N / (P * K)) + 1 steps, where N is the larger of the two modalities' image counts: 696 on
    SYSU-MM01 at 8 x (4 + 4). The released code logs one less, the length of its loader.
    """

    # Whether an identity's images are drawn with replacement, also if it has K or more.
    replace: ClassVar[bool] = True

    @property
    def steps(self) -> int:
        """Batches per epoch."""
        totals = [sum(len(pool[modality]) for pool in self.pools) for modality in (0, 1)]
        return max(totals) // (self.P * self.K) + 1

    def plan(self, rng: np.random.Generator) -> Iterator[list[tuple[Indices, Indices]]]:
        """Yield batches without end."""
        while True:
            chosen = rng.choice(len(self.pools), self.P, replace=False)
            yield [(self._drawn(self.pools[i][0], rng), self._drawn(self.pools[i][1], rng)) for i in chosen]

    def _drawn(self, pool: Indices, rng: np.random.Generator) -> Indices:
        return rng.choice(pool, self.K, replace=self.replace or len(pool) < self.K)


@SAMPLER_REGISTRY.register()
class DistinctImagesSampler(CrossModalityIdentitySampler):
    """Draws P identities and K images of each modality, both without replacement, as PMT's code does.

    An identity with fewer than K images of a modality, at which that code fails, has them drawn with replacement.
    """

    replace: ClassVar[bool] = False
