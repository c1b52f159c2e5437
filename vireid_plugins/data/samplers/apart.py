"""The sampler of methods that learn from clusters: each modality is drawn apart.

As the code of Cluster Contrast, ADCA and PGM draws; see docs/methods/adca.md.
"""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from fastreid.config import CfgNode

from vireid_plugins.config.keys import Key, arguments, declare_table
from vireid_plugins.data.batch import NONE, Batch, checked_apart
from vireid_plugins.data.datasets.base import MODALITIES
from vireid_plugins.data.samplers.base import SAMPLER_REGISTRY, Drawn, EpochSampler, Indices
from vireid_plugins.errors import ConfigError, DataError

NODE = "DATALOADER.APART"

declare_table(
    Key(
        f"{NODE}.IDENTITIES",
        [8, 16],
        "ApartSampler: visible and infrared clusters in a batch. SOLVER.IMS_PER_BATCH is their sum times "
        "DATALOADER.NUM_INSTANCE.",
    ),
    Key(f"{NODE}.STEPS", 200, "ApartSampler: steps of an epoch, whatever the number of images."),
    Key(
        f"{NODE}.OTHER_CAMERAS",
        True,
        "ApartSampler: after the first image of a cluster, draw images of other cameras than its own, if the cluster "
        "has any.",
    ),
)


@SAMPLER_REGISTRY.register()
class ApartSampler(EpochSampler):
    """Draws P_V visible and P_R infrared clusters, independently, and K images of each.

    A pass goes once through all clusters of a modality, in random order; what is left of it and fills no batch is
    dropped. Of a cluster one image is drawn, then K - 1 of other cameras than its own; of a cluster with one camera,
    of its other images. They are drawn without replacement if there are K or more.

    Before each epoch `set_labels` gives the clusters; images without one are not drawn.

    Args:
        modalities: modality of each training image.
        cameras: camera of each training image.
        identities: P_V and P_R over all ranks.
        instances: K.
        steps: batches per epoch.
        other_cameras: whether images of other cameras are preferred.
        views: number of views of a visible and of an infrared image.
        seed: seed of the plan.
        rank: rank of this process.
        world: number of processes.

    Raises:
        ConfigError: P_V or P_R is not a multiple of the number of processes.
        DataError: a modality has fewer images than clusters are drawn.
    """

    identities: ClassVar[bool] = False
    ends: ClassVar[bool] = True
    length: ClassVar[str] = f"{NODE}.STEPS"

    def __init__(
        self,
        modalities: Sequence[int],
        cameras: Sequence[int],
        *,
        identities: Sequence[int] = (8, 16),
        instances: int = 16,
        steps: int = 200,
        other_cameras: bool = True,
        views: tuple[int, int] = (1, 1),
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        super().__init__(views=views, seed=seed, rank=rank, world=world)
        self.modalities, self.cameras = np.asarray(modalities), np.asarray(cameras)
        self.P, self.K = tuple(identities), instances
        self._steps, self.other_cameras = steps, other_cameras
        self.pools: tuple[list[Indices], list[Indices]] = ([], [])
        if any(clusters % world for clusters in self.P):
            raise ConfigError(f"{NODE}.IDENTITIES: {list(self.P)} clusters cannot be divided among {world} processes")
        for modality, name in MODALITIES.items():
            images = int((self.modalities == modality).sum())
            if images < self.P[modality]:
                raise DataError(
                    f"the training set has {images or 'no'} {name} images, but a batch needs {self.P[modality]} "
                    f"clusters of them: {'add some' if not images else f'add images, or lower {NODE}.IDENTITIES'}"
                )

    @staticmethod
    def collate(batch: Batch) -> Batch:
        """Return a batch after checking the order of its rows."""
        return checked_apart(batch)

    @classmethod
    def check(cls, cfg: CfgNode) -> None:
        """Check `DATALOADER.APART`, and what does not go with clusters.

        Raises:
            ConfigError: a value is wrong.
        """
        apart, instances = cfg.DATALOADER.APART, cfg.DATALOADER.NUM_INSTANCE
        clusters = list(apart.IDENTITIES)
        if len(clusters) != len(MODALITIES) or not all(type(one) is int and one > 0 for one in clusters):
            raise ConfigError(f"{NODE}.IDENTITIES: must be two whole numbers above 0, such as [8, 16]; got {clusters}")
        if apart.STEPS < 1:
            raise ConfigError(f"{NODE}.STEPS: must be at least 1, got {apart.STEPS}")
        needed = sum(clusters) * instances
        if needed != cfg.SOLVER.IMS_PER_BATCH:
            raise ConfigError(
                f"SOLVER.IMS_PER_BATCH: must be {needed}, the {clusters[0]} + {clusters[1]} clusters of "
                f"{NODE}.IDENTITIES times DATALOADER.NUM_INSTANCE {instances}; got {cfg.SOLVER.IMS_PER_BATCH}"
            )
        if cfg.SOLVER.ACCUMULATE > 1:
            raise ConfigError("SOLVER.ACCUMULATE: must be 1 with ApartSampler, whose modalities are drawn apart")
        if cfg.TEST.PRECISE_BN.ENABLED:
            raise ConfigError("TEST.PRECISE_BN.ENABLED: must be False with ApartSampler, which draws clusters")

    @classmethod
    def from_config(
        cls, cfg: CfgNode, targets: Sequence[int], modalities: Sequence[int], cameras: Sequence[int], **place: Any
    ) -> "ApartSampler":
        """Build the sampler from `DATALOADER.APART` and `DATALOADER.NUM_INSTANCE`; identities are not read."""
        node = arguments(cfg.DATALOADER.APART)
        return cls(modalities, cameras, instances=cfg.DATALOADER.NUM_INSTANCE, **node, **place)

    @property
    def steps(self) -> int:
        """Batches per epoch."""
        return self._steps

    def set_labels(self, labels: npt.ArrayLike) -> None:
        """Draw from these clusters from now on.

        Args:
            labels: (N,) cluster of each training image, numbered from 0 in each modality, and -1 for none.

        Raises:
            DataError: a modality has fewer clusters than a batch needs.
        """
        found = np.asarray(labels, dtype=np.int64)
        pools: list[list[Indices]] = []
        for modality, name in MODALITIES.items():
            mine = np.flatnonzero((self.modalities == modality) & (found != NONE))
            order = mine[np.argsort(found[mine], kind="stable")]
            starts = np.flatnonzero(np.diff(found[order], prepend=NONE))
            pools.append(np.split(order, starts[1:]) if len(order) else [])
            if len(pools[modality]) < self.P[modality]:
                raise DataError(self._too_few(name, modality, len(pools[modality]), len(mine)))
        self.labels, self.pools = found, (pools[0], pools[1])

    def _too_few(self, name: str, modality: int, clusters: int, clustered: int) -> str:
        images = int((self.modalities == modality).sum())
        found = f"{clustered} of {images} {name} images are in clusters, {clusters} of them"
        if not clusters:
            found = f"none of {images} {name} images is in a cluster"
        # Nearly no noise means that clusters have merged; otherwise most images have found no neighbors.
        advice = (
            "lower USL.CLUSTER.EPS, or USL.CLUSTER.K1 where a person has fewer images than that"
            if 2 * clustered > images
            else "raise USL.CLUSTER.EPS or lower USL.CLUSTER.MIN_SAMPLES"
        )
        return (
            f"{found}, but a batch needs {self.P[modality]}: {advice}; a new run may also lower {NODE}.IDENTITIES or "
            "have more images"
        )

    def drawn(self, rng: np.random.Generator) -> Iterator[Drawn]:
        """Yield batches without end."""
        if self.labels is None:
            raise ValueError("ApartSampler: the clusters of the epoch are not set; call set_labels")
        visible, infrared = (self._of_modality(modality, rng) for modality in MODALITIES)
        while True:
            yield next(visible), next(infrared)

    def _of_modality(self, modality: int, rng: np.random.Generator) -> Iterator[list[Indices]]:
        pools, clusters = self.pools[modality], self.P[modality]
        while True:
            order = rng.permutation(len(pools))
            for start in range(0, len(order) - clusters + 1, clusters):
                yield [self._images(pools[number], rng) for number in order[start : start + clusters]]

    def _images(self, pool: Indices, rng: np.random.Generator) -> Indices:
        """Draw K images of a cluster."""
        first = rng.choice(pool)
        others = pool[self.cameras[pool] != self.cameras[first]] if self.other_cameras else pool[:0]
        if not len(others):
            others = pool[pool != first]
        if not len(others):
            return np.full(self.K, first)
        return np.append(first, rng.choice(others, self.K - 1, replace=len(others) < self.K))
