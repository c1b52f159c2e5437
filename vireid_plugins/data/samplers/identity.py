"""The sampler of AGW and most methods built on it (Ye et al., TPAMI 2022; behavior of the released code)."""

from collections.abc import Iterator

import numpy as np

from vireid_plugins.data.samplers.base import SAMPLER_REGISTRY, CrossModalitySampler, Indices


@SAMPLER_REGISTRY.register()
class CrossModalityIdentitySampler(CrossModalitySampler):
    """Draws P identities without replacement, and K images of each modality with replacement.

    An epoch has floor(N / (P * K)) + 1 steps, where N is the larger of the two modalities' image counts: 696 on
    SYSU-MM01 at 8 x (4 + 4). The released code logs one less, the length of its loader.
    """

    @property
    def steps(self) -> int:
        """Batches per epoch."""
        totals = [sum(len(pool[modality]) for pool in self.pools) for modality in (0, 1)]
        return max(totals) // (self.P * self.K) + 1

    def plan(self, rng: np.random.Generator) -> Iterator[list[tuple[Indices, Indices]]]:
        """Yield batches without end."""
        while True:
            chosen = rng.choice(len(self.pools), self.P, replace=False)
            yield [(rng.choice(self.pools[i][0], self.K), rng.choice(self.pools[i][1], self.K)) for i in chosen]
