"""Base classes of the samplers: a generator per epoch, sharding over ranks, order of a batch, grouping by identity."""

import itertools
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from fastreid.config import CfgNode
from fastreid.utils.registry import Registry

from vireid_plugins.data.batch import INFRARED, VISIBLE, Batch, checked
from vireid_plugins.data.torch_datasets import Sample
from vireid_plugins.errors import ConfigError, DataError

logger = logging.getLogger("fastreid." + __name__)
Indices = npt.NDArray[np.int64]
# The images of a batch: for each modality a list of groups of K images, each of one identity or cluster.
Drawn = tuple[list[Indices], list[Indices]]

SAMPLER_REGISTRY = Registry("SAMPLER")
SAMPLER_REGISTRY.__doc__ = """
Subclasses of `CrossModalitySampler`, built with its arguments. `steps` is the number of batches per epoch; `plan(rng)`
yields the batches, each a list of P pairs (K visible, K infrared image indices). A sampler of another kind is a
subclass of `EpochSampler`.
"""


class EpochSampler(ABC):
    """Batches in blocks, one per modality and view, from one generator per epoch.

    Epoch e draws from its own generator, seeded with (seed, e), so that a resumed run sees the same batches as an
    uninterrupted one. Every rank computes the same plan and takes its share of the groups of images.

    Args:
        views: number of views of a visible and of an infrared image.
        seed: seed of the plan.
        rank: rank of this process.
        world: number of processes.

    Attributes:
        labels: (N,) what replaces the identities of the training images in a batch, or None.
        first_step: the step of the run from which batches are drawn.
        first_epochs: number of epochs that begin the run with views of their own (`INPUT.FIRST_EPOCHS`).
    """

    # Whether it reads the identities of the images.
    identities: ClassVar[bool] = True
    # Whether batches end with their epoch, because those of the next one depend on what happens between them.
    ends: ClassVar[bool] = False
    # What the number of steps of an epoch follows from.
    length: ClassVar[str] = "SOLVER.IMS_PER_BATCH and sampler"

    def __init__(self, *, views: tuple[int, int], seed: int, rank: int, world: int) -> None:
        self.views, self.seed, self.rank, self.world = views, seed, rank, world
        self.labels: Indices | None = None
        self.first_step = self.first_epochs = 0

    @staticmethod
    def collate(batch: Batch) -> Batch:
        """Return a batch after checking the order of its rows."""
        return checked(batch)

    @classmethod
    @abstractmethod
    def check(cls, cfg: CfgNode) -> None:
        """Raise a `ConfigError` if the configuration does not fit the sampler, before any data is read."""

    @classmethod
    @abstractmethod
    def from_config(
        cls, cfg: CfgNode, targets: Sequence[int], modalities: Sequence[int], cameras: Sequence[int], **place: Any
    ) -> "EpochSampler":
        """Build the sampler over training images.

        Args:
            cfg: the configuration.
            targets: identity of each image.
            modalities: modality of each image.
            cameras: camera of each image.
            **place: `views`, `seed`, `rank` and `world`.
        """

    @property
    @abstractmethod
    def steps(self) -> int:
        """Batches per epoch."""

    @abstractmethod
    def drawn(self, rng: np.random.Generator) -> Iterator[Drawn]:
        """Yield at least `steps` batches of all ranks together."""

    def __iter__(self) -> Iterator[list[Sample]]:
        """Yield this rank's part of every batch from step `first_step` of the run on."""
        first_epoch, skipped = divmod(self.first_step, self.steps)
        epochs: Iterable[int] = (first_epoch,) if self.ends else itertools.count(first_epoch)
        for epoch in epochs:
            rng = np.random.default_rng([self.seed, epoch])
            for step, drawn in enumerate(itertools.islice(self.drawn(rng), self.steps)):
                # Skipped steps too, since this draws from the same generator as the plan.
                batch = self._batch(drawn, rng, begins=epoch < self.first_epochs)
                if epoch > first_epoch or step >= skipped:
                    yield batch

    def _batch(self, drawn: Drawn, rng: np.random.Generator, begins: bool = False) -> list[Sample]:
        """Arrange a batch in blocks `[V1, V2, ..., I1, ...]`, with an augmentation seed for each image."""
        batch: list[Sample] = []
        for modality, view in ((m, v) for m in (VISIBLE, INFRARED) for v in range(self.views[m])):
            groups = drawn[modality]
            seeds = rng.integers(0, 2**63, size=(len(groups), len(groups[0])))
            mine, own_seeds = groups[self.rank :: self.world], seeds[self.rank :: self.world]
            for image, seed in zip(np.concatenate(mine), own_seeds.flatten(), strict=True):
                label = None if self.labels is None else int(self.labels[image])
                batch.append(Sample(int(image), view, int(seed), begins, label))
        return batch


class CrossModalitySampler(EpochSampler):
    """Endless batches of P identities with K visible and K infrared images each.

    Identities that lack a modality are skipped with a warning.

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
        super().__init__(views=views, seed=seed, rank=rank, world=world)
        self.P, self.K = identities_per_batch, instances
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

    @classmethod
    def check(cls, cfg: CfgNode) -> None:
        """Raise a `ConfigError` unless `SOLVER.IMS_PER_BATCH` is P x 2 x K."""
        identities_per_batch(cfg)

    @classmethod
    def from_config(
        cls, cfg: CfgNode, targets: Sequence[int], modalities: Sequence[int], cameras: Sequence[int], **place: Any
    ) -> "CrossModalitySampler":
        """Build the sampler from `SOLVER.IMS_PER_BATCH` and `DATALOADER.NUM_INSTANCE`."""
        per_batch, instances = identities_per_batch(cfg), cfg.DATALOADER.NUM_INSTANCE
        return cls(targets, modalities, identities_per_batch=per_batch, instances=instances, **place)

    @abstractmethod
    def plan(self, rng: np.random.Generator) -> Iterator[list[tuple[Indices, Indices]]]:
        """Yield at least `steps` batches, each P pairs of (K,) visible and (K,) infrared image indices."""

    def drawn(self, rng: np.random.Generator) -> Iterator[Drawn]:
        """Yield the batches of `plan`."""
        for pairs in self.plan(rng):
            yield [visible for visible, _ in pairs], [infrared for _, infrared in pairs]


def identities_per_batch(cfg: CfgNode) -> int:
    """Return P, where `SOLVER.IMS_PER_BATCH` = P x 2 x K.

    Raises:
        ConfigError: it is not such a product.
    """
    images, instances = cfg.SOLVER.IMS_PER_BATCH, cfg.DATALOADER.NUM_INSTANCE
    if images % (2 * instances):
        raise ConfigError(
            f"SOLVER.IMS_PER_BATCH: {images} is not P x 2 x K images; with DATALOADER.NUM_INSTANCE {instances} it must "
            f"be a multiple of {2 * instances}"
        )
    identities: int = images // (2 * instances)
    return identities


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
