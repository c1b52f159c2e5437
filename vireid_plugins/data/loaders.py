"""Training and test loaders for fast-reid's trainer."""

import logging
from collections.abc import Container, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

import torch
from fastreid.config import CfgNode
from fastreid.data.datasets.bases import ImageDataset
from fastreid.data.samplers import InferenceSampler
from fastreid.utils import comm
from torch.utils.data import BatchSampler, DataLoader, Subset

from vireid_plugins.config.check import is_labeled, registered
from vireid_plugins.data.batch import Batch, as_it_is
from vireid_plugins.data.datasets import CrossModalityDataset, build_dataset
from vireid_plugins.data.decode import INTERPOLATIONS, interpolation_of_tests
from vireid_plugins.data.samplers import SAMPLER_REGISTRY, EpochSampler
from vireid_plugins.data.thermal import stretch_of
from vireid_plugins.data.torch_datasets import PlainImages, TestImages, TrainImages
from vireid_plugins.data.transforms import BatchAugmentation, View, build_view
from vireid_plugins.data.worker_errors import ReportingLoader
from vireid_plugins.data.wrong_labels import with_wrong_labels
from vireid_plugins.errors import ConfigError, DataError, require_name

logger = logging.getLogger("fastreid." + __name__)


class Epoch:
    """The attributes that fast-reid reads from a training loader's `dataset`.

    fast-reid runs `len(dataset) // IMS_PER_BATCH` iterations per epoch; the length reported here makes that the
    sampler's number of steps.
    """

    def __init__(self, steps: int, images_per_batch: int, num_classes: int) -> None:
        self.steps, self.images_per_batch, self.num_classes = steps, images_per_batch, num_classes

    def __len__(self) -> int:
        return self.steps * self.images_per_batch


class TrainLoader:
    """Training batches: endless ones, or those of an epoch if the sampler `ends` with it.

    Args:
        loader: a `DataLoader` over `sampler` and the training images.
        sampler: its batch sampler.
        dataset: length of an epoch and number of identities.
        augment: augments whole batches, if the loader does not augment images.
        datasets: the data sets that the images are from.
    """

    def __init__(
        self,
        loader: DataLoader[Batch],
        sampler: EpochSampler,
        dataset: Epoch,
        augment: BatchAugmentation | None = None,
        datasets: Sequence[ImageDataset] = (),
    ) -> None:
        self.datasets = datasets
        self.loader, self.sampler, self.dataset, self.augment = loader, sampler, dataset, augment

    @property
    def images(self) -> TrainImages:
        """The training images."""
        images: Any = self.loader.dataset
        assert isinstance(images, TrainImages)
        return images

    @property
    def labeled(self) -> bool:
        """Whether the data sets know the identities of all images."""
        return all(is_labeled(dataset) for dataset in self.datasets)

    def __iter__(self) -> Iterator[Batch]:
        """Start from the first batch of epoch 0, with the first batch: fast-reid's trainer asks and never reads."""
        yield from self.starting_at(0)

    def starting_at(self, iteration: int) -> Generator[Batch, None, None]:
        """Start from the batch of `iteration`, for a resumed run."""
        self.sampler.first_step = iteration
        batches: Any = iter(self.loader)
        return batches if self.augment is None else self._augmented(batches, iteration)

    def _augmented(self, batches: Generator[Batch, None, None], first: int) -> Generator[Batch, None, None]:
        assert self.augment is not None
        with closing(batches):
            for step, batch in enumerate(batches, start=first):
                yield self.augment(batch, step)


def build_train_loader(cfg: CfgNode) -> TrainLoader:
    """Build the loader of `DATASETS.NAMES`.

    Raises:
        ConfigError: a name is unknown, a modality has no view, or the batch size does not fit the sampler.
        DataError: files are missing or there are too few identities.
    """
    check_train_loader(cfg)
    datasets = [build_dataset(cfg, name) for name in cfg.DATASETS.NAMES]
    if comm.is_main_process():
        for dataset in datasets:
            if isinstance(dataset, CrossModalityDataset):
                dataset.warn_of_gaps()
            dataset.show_train()
    unlabeled = [type(dataset).__name__ for dataset in datasets if not is_labeled(dataset)]
    if unlabeled and _sampler_class(cfg).identities:
        raise DataError(
            f"{unlabeled[0]} has no identities, but {cfg.DATALOADER.SAMPLER_TRAIN} draws them; train a method without "
            "labels, such as own/pgm.yml"
        )
    views, first_views = _views(cfg, "VIEWS", cfg.INPUT.VIEWS), _views(cfg, "FIRST_VIEWS", _first_views(cfg))
    seed, rank = max(cfg.SEED, 0), comm.get_rank()
    on_device = cfg.INPUT.AUGMENT == "device"
    augment = BatchAugmentation(views, cfg.MODEL.DEVICE, seed, rank, first_views) if on_device else None
    train = TrainImages(
        *(datasets, None if augment else views, cfg.INPUT.SIZE_TRAIN, cfg.INPUT.INTERPOLATION, cfg.DATALOADER.CACHE),
        stretch=stretch_of(cfg),
        first_views=None if augment else first_views,
    )
    wrong = cfg.DATASETS.WRONG_LABELS
    train.targets = with_wrong_labels(train.targets, train.modalities, wrong.SHARE, wrong.SEED)
    if wrong.SHARE and _sampler_class(cfg).identities:
        logger.warning("%g %% of the training labels are wrong (DATASETS.WRONG_LABELS)", 100 * wrong.SHARE)
    sampler = build_sampler(cfg, train.targets, train.modalities, [camera for _, _, camera in train.items])
    if augment:
        augment.first_steps = cfg.INPUT.FIRST_EPOCHS * sampler.steps
    # Where identities are not read, their number is not either.
    classes = train.num_classes if sampler.identities else 0
    counted = f", {classes} identities" if sampler.identities else ""
    logger.info("%s: %d steps per epoch%s", type(sampler).__name__, sampler.steps, counted)
    loader = ReportingLoader(
        dataset=train,
        batch_sampler=sampler,
        timeout=cfg.DATALOADER.TIMEOUT,
        workers=cfg.DATALOADER.NUM_WORKERS,
        collate_fn=sampler.collate,
        pin_memory=torch.cuda.is_available(),
        generator=torch.Generator().manual_seed(seed),
    )
    epoch = Epoch(sampler.steps, cfg.SOLVER.IMS_PER_BATCH, classes)
    return TrainLoader(loader, sampler, epoch, augment, datasets)


def _views(cfg: CfgNode, key: str, node: Mapping[str, Any]) -> list[list[View]]:
    return [[build_view(cfg, names, f"INPUT.{key}") for names in node[name]] for name in ("VISIBLE", "INFRARED")]


def _first_views(cfg: CfgNode) -> dict[str, Any]:
    """Return the views that begin the run.

    Raises:
        ConfigError: they are more or fewer than those that follow.
    """
    first = {name: views or cfg.INPUT.VIEWS[name] for name, views in cfg.INPUT.FIRST_VIEWS.items()}
    for name, views in first.items():
        if len(views) != len(cfg.INPUT.VIEWS[name]):
            raise ConfigError(
                f"INPUT.FIRST_VIEWS.{name}: has {len(views)} views and INPUT.VIEWS.{name} has "
                f"{len(cfg.INPUT.VIEWS[name])}; a batch has the same blocks in every epoch"
            )
    return first


def _require_views(cfg: CfgNode) -> None:
    for modality, views in cfg.INPUT.VIEWS.items():
        if not views:
            raise ConfigError(
                f"INPUT.VIEWS.{modality}: has no view, so no {modality.lower()} image would be trained on; [[]] is one "
                "view without augmentation"
            )


def check_train_loader(cfg: CfgNode) -> None:
    """Check the keys of the loader of training images, before any image is looked for.

    Raises:
        ConfigError: a value is wrong, or the batch size does not fit the sampler.
    """
    require_name("INPUT.INTERPOLATION", cfg.INPUT.INTERPOLATION, INTERPOLATIONS)
    interpolation_of_tests(cfg)
    _require_views(cfg)
    # Names and numbers of transforms.
    _views(cfg, "VIEWS", cfg.INPUT.VIEWS)
    _views(cfg, "FIRST_VIEWS", _first_views(cfg))
    require_name("INPUT.AUGMENT", cfg.INPUT.AUGMENT, ("host", "device"))
    _sampler_class(cfg).check(cfg)
    _require_parts(cfg)
    if not cfg.DATASETS.NAMES:
        raise ConfigError("DATASETS.NAMES: needs one or more data sets to train on")


def _require_parts(cfg: CfgNode) -> None:
    """Raise a `ConfigError` unless `SOLVER.ACCUMULATE` divides the identities of a batch of this process."""
    identities = cfg.SOLVER.IMS_PER_BATCH // (2 * cfg.DATALOADER.NUM_INSTANCE * comm.get_world_size())
    if identities % cfg.SOLVER.ACCUMULATE:
        raise ConfigError(
            f"SOLVER.ACCUMULATE: {identities} identities per batch and process cannot be divided into "
            f"{cfg.SOLVER.ACCUMULATE} parts"
        )


def build_sampler(
    cfg: CfgNode, targets: Sequence[int], modalities: Sequence[int], cameras: Sequence[int] = ()
) -> EpochSampler:
    """Build `DATALOADER.SAMPLER_TRAIN` over training images with these identities, modalities and cameras.

    Raises:
        ConfigError: the name is unknown, or the batch size does not fit.
        DataError: there are too few images or identities.
    """
    kind = _sampler_class(cfg)
    kind.check(cfg)
    place: dict[str, Any] = {
        "views": (len(cfg.INPUT.VIEWS.VISIBLE), len(cfg.INPUT.VIEWS.INFRARED)),
        "seed": max(cfg.SEED, 0),
        "rank": comm.get_rank(),
        "world": comm.get_world_size(),
    }
    sampler = kind.from_config(cfg, targets, modalities, cameras, **place)
    sampler.first_epochs = cfg.INPUT.FIRST_EPOCHS
    return sampler


def _sampler_class(cfg: CfgNode) -> type[EpochSampler]:
    require_name("DATALOADER.SAMPLER_TRAIN", cfg.DATALOADER.SAMPLER_TRAIN, registered(SAMPLER_REGISTRY))
    kind: type[EpochSampler] = SAMPLER_REGISTRY.get(cfg.DATALOADER.SAMPLER_TRAIN)
    return kind


def build_test_loader(cfg: CfgNode, dataset_name: str) -> tuple[DataLoader[Batch], int]:
    """Build the loader of one test set: queries, then the full gallery, each image once.

    Returns:
        the loader and the number of queries.
    """
    dataset = build_dataset(cfg, dataset_name)
    return loader_of_test_set(cfg, dataset), len(dataset.query)


def loader_of_test_set(cfg: CfgNode, dataset: ImageDataset, only: Container[str] | None = None) -> DataLoader[Batch]:
    """Build the loader of a data set that is already there, see `build_test_loader`.

    Args:
        cfg: the configuration.
        dataset: the test set.
        only: paths, relative to its folder, of the images to load; None: all of them.
    """
    if comm.is_main_process():
        dataset.show_test()
    how = (cfg.INPUT.SIZE_TEST, interpolation_of_tests(cfg), cfg.DATALOADER.CACHE, stretch_of(cfg))
    every = TestImages(dataset, *how)
    # A subset of all images, not a list of its own: whatever the protocols are, they share one cache.
    test = every if only is None else Subset(every, every.indices(only))
    if len(test) < len(every):
        logger.info("%d of %d test images are used by the protocols", len(test), len(every))
    return _in_order(cfg, test)


def loader_of_training_images(cfg: CfgNode, images: TrainImages) -> DataLoader[Batch]:
    """Build a loader of each training image once, in order, without augmentation; see `PlainImages` for its targets.

    It draws from no generator that anything else draws from.
    """
    return _in_order(cfg, PlainImages(images), generator=torch.Generator())


def _in_order(cfg: CfgNode, images: Any, **arguments: Any) -> DataLoader[Batch]:
    """Return a loader of this rank's part of the images, in order."""
    batch = max(1, cfg.TEST.IMS_PER_BATCH // comm.get_world_size())
    return ReportingLoader(
        dataset=images,
        batch_sampler=BatchSampler(InferenceSampler(len(images)), batch, drop_last=False),
        timeout=cfg.DATALOADER.TIMEOUT,
        workers=cfg.DATALOADER.NUM_WORKERS,
        collate_fn=as_it_is,
        pin_memory=torch.cuda.is_available(),
        **arguments,
    )
