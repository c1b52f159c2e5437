"""Base class of the identity samplers: grouping by identity and modality, sharding over ranks, order of a batch."""

import itertools
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from fastreid.utils.registry import Registry

from vireid_plugins.data.batch import INFRARED, VISIBLE
from vireid_plugins.data.torch_datasets import Sample
from vireid_plugins.errors import ConfigError, DataError

logger = logging.getLogger("fastreid." + __name__)
Indices = npt.NDArray[np.int64]

SAMPLER_REGISTRY = Registry("SAMPLER")
SAMPLER_REGISTRY.__doc__ = """
Subclasses of `CrossModalitySampler`, built with its arguments. `steps` is the number of batches per epoch; `plan(rng)`
yields the batches, each a list of P pairs (K visible, K infrared image indices).
"""


class CrossModalitySampler(ABC):
    """Endless batches of P identities with K visible and K infrared images each.

    Epoch e draws from its own generator, seeded with (seed, e), so that a resumed run sees the same batches as an
    uninterrupted one. Every rank computes the same plan and takes its share of the identities. Identities that lack a
    modality are skipped with a warning.

    Args:
        targets: identity of each training image.
        modalities: modality of each training image.
        identities_per_batch: P over all ranks.
        instances: K.
        views: number of views of a visible and of an infrared image.
        seed: seed of the plan.
        rank: rank of this process.
        world: number of processes.

    Raises:
        ConfigError: P is not a multiple of the number of processes.
        DataError: fewer than P identities have both modalities.
    """

    def __init__(
        self,
        targets: Sequence[int],
        modalities: Sequence[int],
        *,
        identities_per_batch: int,
        instances: int,
        views: tuple[int, int] = (1, 1),
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.P, self.K, self.views = identities_per_batch, instances, views
        self.seed, self.rank, self.world = seed, rank, world
        self.first_step = 0
        # Epochs that begin the run with views of their own (INPUT.FIRST_EPOCHS).
        self.first_epochs = 0
        self.pools = _pools(targets, modalities)
        if self.P % world:
            raise ConfigError(
                f"SOLVER.IMS_PER_BATCH: {self.P} identities per batch cannot be divided among {world} processes"
            )
        if len(self.pools) < self.P:
            raise DataError(
                f"the training set has {len(self.pools)} identities with both modalities, but a batch needs {self.P}: "
                "lower SOLVER.IMS_PER_BATCH or raise DATALOADER.NUM_INSTANCE"
            )

    @property
    @abstractmethod
    def steps(self) -> int:
        """Batches per epoch."""

    @abstractmethod
    def plan(self, rng: np.random.Generator) -> Iterator[list[tuple[Indices, Indices]]]:
        """Yield at least `steps` batches, each P pairs of (K,) visible and (K,) infrared image indices."""

    def __iter__(self) -> Iterator[list[Sample]]:
        """Yield this rank's part of every batch without end, starting at step `first_step` of the run."""
        first_epoch, skipped = divmod(self.first_step, self.steps)
        for epoch in itertools.count(first_epoch):
            rng = np.random.default_rng([self.seed, epoch])
            for step, pairs in enumerate(itertools.islice(self.plan(rng), self.steps)):
                # Skipped steps too, since this draws from the same generator as the plan.
                batch = self._batch(pairs, rng, begins=epoch < self.first_epochs)
                if epoch > first_epoch or step >= skipped:
                    yield batch

    def _batch(
        self, pairs: list[tuple[Indices, Indices]], rng: np.random.Generator, begins: bool = False
    ) -> list[Sample]:
        """Arrange a batch in blocks `[V1, V2, ..., I1, ...]`, with an augmentation seed for each image."""
        blocks = sum(self.views)
        seeds = rng.integers(0, 2**63, size=(blocks, self.P, self.K))[:, self.rank :: self.world].reshape(blocks, -1)
        mine = pairs[self.rank :: self.world]
        batch: list[Sample] = []
        for modality, view in ((m, v) for m in (VISIBLE, INFRARED) for v in range(self.views[m])):
            images = np.concatenate([pair[modality] for pair in mine])
            row = seeds[len(batch) // len(images)]
            batch += [Sample(int(i), view, int(s), begins) for i, s in zip(images, row, strict=True)]
        return batch


def _pools(targets: Sequence[int], modalities: Sequence[int]) -> list[tuple[Indices, Indices]]:
    """Return the visible and the infrared image indices of each identity that has both."""
    groups: dict[int, tuple[list[int], list[int]]] = {}
    for index, (target, modality) in enumerate(zip(targets, modalities, strict=True)):
        groups.setdefault(target, ([], []))[modality].append(index)
    incomplete = sorted(target for target, pair in groups.items() if not all(pair))
    if incomplete:
        shown = ", ".join(map(str, incomplete[:10])) + (", ..." if len(incomplete) > 10 else "")
        logger.warning("%d training identities lack a modality and are skipped: labels %s", len(incomplete), shown)
    return [(np.array(v), np.array(i)) for _, (v, i) in sorted(groups.items()) if v and i]
