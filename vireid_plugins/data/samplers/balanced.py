"""The balanced sampler, after MPANet (Wu et al., CVPR 2021), whose sampler IDKL's code uses.

Each identity's two image lists are truncated to the shorter length, shuffled and visited without replacement. How
batches are composed so that the length of an epoch is known in advance is our choice.
"""

from collections.abc import Iterator

import numpy as np

from vireid_plugins.data.samplers.base import SAMPLER_REGISTRY, CrossModalitySampler, Indices


@SAMPLER_REGISTRY.register()
class BalancedCrossModalitySampler(CrossModalitySampler):
    """Visits every identity's images without replacement, as many visible as infrared ones.

    An identity with v visible and i infrared images yields max(1, min(v, i) // K) groups of K + K images (drawn with
    replacement if it has fewer than K). An epoch has the largest number of steps for which every batch has P different
    identities: 198 or slightly fewer on SYSU-MM01 at 12 x (5 + 5).
    """

    @property
    def _groups(self) -> Indices:
        return np.array([max(1, min(len(v), len(i)) // self.K) for v, i in self.pools])

    @property
    def steps(self) -> int:
        """Batches per epoch: the largest t for which the sum over identities of min(groups, t) is at least P * t."""
        groups = self._groups
        steps = int(groups.sum()) // self.P
        while np.minimum(groups, steps).sum() < self.P * steps:
            steps -= 1
        return steps

    def plan(self, rng: np.random.Generator) -> Iterator[list[tuple[Indices, Indices]]]:
        """Yield the batches of one epoch."""
        decks = [
            (_deck(v, n * self.K, rng), _deck(i, n * self.K, rng))
            for (v, i), n in zip(self.pools, self._groups, strict=True)
        ]
        left = self._groups.copy()
        for remaining in range(self.steps, 0, -1):
            # Identities with a group for every remaining step come first, so that later batches stay feasible. The
            # others are drawn in proportion to their remaining groups (Gumbel keys draw without replacement).
            weights = np.where(left > 0, np.log(np.maximum(left, 1)), -np.inf)
            keys = weights + rng.gumbel(size=len(left))
            keys[left >= remaining] += 1e6
            chosen = rng.permutation(np.argsort(-keys)[: self.P])
            left[chosen] -= 1
            yield [(self._group(decks[i][0], left[i]), self._group(decks[i][1], left[i])) for i in chosen]

    def _group(self, deck: Indices, number: int) -> Indices:
        return deck[number * self.K : (number + 1) * self.K]


def _deck(pool: Indices, size: int, rng: np.random.Generator) -> Indices:
    """Return `size` images of a pool, without replacement if it is large enough."""
    return rng.permutation(pool)[:size] if len(pool) >= size else rng.choice(pool, size)
