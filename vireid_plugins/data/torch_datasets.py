"""torch data sets over lists of images."""

import os
import stat
from collections.abc import Container, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from fastreid.data.datasets.bases import ImageDataset
from fastreid.utils import comm
from torch.utils.data import Dataset

from vireid_plugins.config.path_keys import expanded
from vireid_plugins.data.batch import VISIBLE, Batch, assemble, empty_images
from vireid_plugins.data.cache import ImageCache
from vireid_plugins.data.datasets.base import CrossModalityDataset, DatasetItem, require_items
from vireid_plugins.data.decode import Decoder, is_deep
from vireid_plugins.data.thermal import DEFAULT, Stretch, collecting, warn_of_range
from vireid_plugins.data.transforms import View
from vireid_plugins.errors import DataError

# Images of 16 bits that are read to learn their range.
THERMAL_SAMPLES = 16


class Sample(NamedTuple):
    """What a sampler requests from a training set.

    Attributes:
        image: index of the image.
        view: number of the view.
        seed: seed of the augmentation.
        begins: whether the view is one of those that begin the run (`INPUT.FIRST_VIEWS`). The sample says so, since
            batches of the next epoch are loaded ahead.
        label: what the image is trained as; None: its identity. The sample carries it, since the loader's processes
            do not see what changes here.
    """

    image: int
    view: int
    seed: int
    begins: bool = False
    label: int | None = None


def modality_of(dataset: ImageDataset, item: DatasetItem) -> int:
    """Return the modality of an item; images of fast-reid's data sets are visible."""
    return dataset.modality(item) if isinstance(dataset, CrossModalityDataset) else VISIBLE


class TrainImages(Dataset[Batch]):
    """Training images of one or several data sets, with identities relabeled 0..N-1.

    Identities are distinct across data sets.

    Args:
        datasets: the data sets.
        views: for each modality the list of its views; None if whole batches are augmented instead.
        size: height and width of the images.
        interpolation: a key of `INTERPOLATIONS`.
        cache: folder of the image cache; empty for none.
        stretch: how images of more than 8 bits are read.
        first_views: the views that begin the run; None: `views`.

    Attributes:
        targets: (N,) labels that are trained on, of which some may be wrong on purpose.
        truth: (N,) labels of the data sets.
    """

    def __init__(
        self,
        datasets: Sequence[ImageDataset],
        views: Sequence[Sequence[View]] | None,
        size: Sequence[int],
        interpolation: str,
        cache: str = "",
        stretch: Stretch = DEFAULT,
        first_views: Sequence[Sequence[View]] | None = None,
    ) -> None:
        self.items: list[DatasetItem] = []
        self.modalities: list[int] = []
        self.targets: list[int] = []
        keys: list[tuple[int, int]] = []
        for number, dataset in enumerate(datasets):
            require_items(dataset, dataset.train, "train")
            self.items += dataset.train
            self.modalities += [modality_of(dataset, item) for item in dataset.train]
            keys += [(number, identity) for _, identity, _ in dataset.train]
        labels = {key: label for label, key in enumerate(sorted(set(keys)))}
        self.targets = self.truth = [labels[key] for key in keys]
        self.num_classes = len(labels)
        self.views = views
        self.first_views = views if first_views is None else first_views
        self.pixels = _pixels(self.items, size, interpolation, cache, stretch)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, sample: Sample) -> Batch:
        """Return a batch of one image."""
        return self.__getitems__([sample])

    def __getitems__(self, samples: Sequence[Sample]) -> Batch:
        """Return a batch, whose images are augmented straight into its memory."""
        numbers = [sample.image for sample in samples]
        modalities = [self.modalities[number] for number in numbers]
        images = empty_images(len(samples), self.pixels.size, self.dtype)
        for out, sample, modality in zip(images.numpy(), samples, modalities, strict=True):
            pixels = self.pixels[sample.image]
            views = self.first_views if sample.begins else self.views
            if views is None:
                out[...] = pixels
            else:
                views[modality][sample.view].into(out, pixels, np.random.default_rng(sample.seed))
        return assemble(
            images,
            [self.targets[one.image] if one.label is None else one.label for one in samples],
            [self.items[number][2] for number in numbers],
            modalities,
            [sample.view for sample in samples],
            [self.items[number][0] for number in numbers],
        )

    @property
    def dtype(self) -> npt.DTypeLike:
        """The type of the images: uint8 unless a view gives float32."""
        chains = (*(self.views or ()), *(self.first_views or ()))
        return np.result_type(np.uint8, *(view.dtype for views in chains for view in views))


class PlainImages(Dataset[Batch]):
    """The images of a training set without augmentation; instead of its identity, an image's target is its index.

    Args:
        train: the training set, whose decoded images it shares.
    """

    def __init__(self, train: TrainImages) -> None:
        self.pixels, self.items, self.modalities = train.pixels, train.items, train.modalities

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Batch:
        """Return a batch of one image."""
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """Return a batch."""
        images = empty_images(len(indices), self.pixels.size, np.uint8)
        for out, index in zip(images.numpy(), indices, strict=True):
            out[...] = self.pixels[index]
        items = [self.items[index] for index in indices]
        return assemble(
            images,
            list(indices),
            [camera for _, _, camera in items],
            [self.modalities[index] for index in indices],
            [0] * len(items),
            [path for path, _, _ in items],
        )


def require_files(kind: str, items: Sequence[DatasetItem]) -> None:
    """Raise a `DataError` unless the listed images are files with content, instead of hours later when one is drawn.

    Args:
        kind: kind of images, for the message.
        items: the images.
    """
    missing, empty = [], []
    for path, _, _ in items:
        try:
            status = os.stat(path)  # noqa: PTH116  much faster for many
        except OSError:
            missing.append(path)
            continue
        if not stat.S_ISREG(status.st_mode) or not status.st_size:
            empty.append(path)
    if missing:
        raise DataError(f"{len(missing)} of {len(items)} {kind} images do not exist, the first: '{missing[0]}'")
    if empty:
        raise DataError(
            f"{len(empty)} of {len(items)} {kind} images are empty or no files, the first: '{empty[0]}'; copy them "
            "again"
        )


def _pixels(
    items: Sequence[DatasetItem], size: Sequence[int], interpolation: str, cache: str, stretch: Stretch
) -> Decoder | ImageCache:
    decoder = Decoder([path for path, _, _ in items], size, interpolation, stretch)
    _warn_of_thermal(decoder)
    return ImageCache(decoder, Path(expanded(cache, "DATALOADER.CACHE"))) if cache else decoder


def _warn_of_thermal(decoder: Decoder) -> None:
    """Log a warning if the images of 16 bits have a narrow range: some of them, since other processes read the rest."""
    # Most are JPEG files, of which the name says enough.
    deep = [number for number, path in enumerate(decoder.paths) if path[-4:] != ".jpg" and is_deep(path)]
    with collecting() as ranges:
        for number in deep[:: -(-len(deep) // THERMAL_SAMPLES) or 1]:
            with suppress(DataError):  # named where every image is read
                decoder[number]
    if comm.is_main_process():
        warn_of_range([decoder.paths[number] for number in deep], ranges)


class TestImages(Dataset[Batch]):
    """Queries and gallery of one data set, resized but not augmented."""

    __test__ = False  # keeps pytest from collecting it as a test case

    def __init__(
        self,
        dataset: ImageDataset,
        size: Sequence[int],
        interpolation: str,
        cache: str = "",
        stretch: Stretch = DEFAULT,
    ) -> None:
        self.dataset = dataset
        self.items: list[DatasetItem] = [*dataset.query, *dataset.gallery]
        self.pixels = _pixels(self.items, size, interpolation, cache, stretch)

    def __len__(self) -> int:
        return len(self.items)

    def indices(self, only: Container[str]) -> list[int]:
        """Return the indices of the images whose path relative to the data set's folder is in `only`."""
        dataset = self.dataset
        assert isinstance(dataset, CrossModalityDataset)
        return [index for index, item in enumerate(self.items) if dataset.relative(item) in only]

    def __getitem__(self, index: int) -> Batch:
        """Return a batch of one image."""
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """Return a batch."""
        items = [self.items[index] for index in indices]
        images = empty_images(len(items), self.pixels.size, np.uint8)
        for out, index in zip(images.numpy(), indices, strict=True):
            out[...] = self.pixels[index]
        return assemble(
            images,
            [identity for _, identity, _ in items],
            [camera for _, _, camera in items],
            [modality_of(self.dataset, item) for item in items],
            [0] * len(items),
            [path for path, _, _ in items],
        )
