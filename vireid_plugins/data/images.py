"""Reads image files into arrays; torch data sets over lists of images."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from fastreid.data.datasets.bases import ImageDataset
from PIL import Image
from torch.utils.data import Dataset

from vireid_plugins.data.batch import VISIBLE, Item
from vireid_plugins.data.datasets.base import CrossModalityDataset, DatasetItem
from vireid_plugins.data.transforms import View
from vireid_plugins.errors import DataError

INTERPOLATIONS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


class Sample(NamedTuple):
    """What a sampler asks of a training set: an image, in which view, with the seed of its augmentation."""

    image: int
    view: int
    seed: int


def read_image(path: str, size: Sequence[int], interpolation: str = "bilinear") -> npt.NDArray[np.uint8]:
    """Decode and resize an image; one channel becomes three equal ones.

    Args:
        path: the file.
        size: height and width.
        interpolation: a key of `INTERPOLATIONS`.

    Returns:
        (H, W, 3) uint8.

    Raises:
        DataError: the file cannot be read or decoded; the message names it.
    """
    try:
        with Image.open(path) as file:
            image = file.convert("RGB").resize((size[1], size[0]), INTERPOLATIONS[interpolation])
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"image '{path}' cannot be read: {error}") from None
    return np.asarray(image)


def modality_of(dataset: ImageDataset, item: DatasetItem) -> int:
    """Return the modality of an item; images of fast-reid's own data sets are visible."""
    return dataset.modality(item) if isinstance(dataset, CrossModalityDataset) else VISIBLE


class TrainImages(Dataset[Item]):
    """Training images of one or several data sets, identities relabelled 0..N-1.

    Identities of different data sets are different identities.

    Args:
        datasets: the data sets.
        views: for each modality the list of its views.
        size: height and width of the images.
        interpolation: a key of `INTERPOLATIONS`.
    """

    def __init__(
        self, datasets: Sequence[ImageDataset], views: Sequence[Sequence[View]], size: Sequence[int], interpolation: str
    ) -> None:
        self.items: list[DatasetItem] = []
        self.modalities: list[int] = []
        self.targets: list[int] = []
        keys: list[tuple[int, int]] = []
        for number, dataset in enumerate(datasets):
            self.items += dataset.train
            self.modalities += [modality_of(dataset, item) for item in dataset.train]
            keys += [(number, identity) for _, identity, _ in dataset.train]
        labels = {key: label for label, key in enumerate(sorted(set(keys)))}
        self.targets = [labels[key] for key in keys]
        self.num_classes = len(labels)
        self.views, self.size, self.interpolation = views, size, interpolation

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, sample: Sample) -> Item:
        path, _, camera = self.items[sample.image]
        modality = self.modalities[sample.image]
        image = read_image(path, self.size, self.interpolation)
        image = self.views[modality][sample.view](image, np.random.default_rng(sample.seed))
        return Item(
            images=image,
            targets=self.targets[sample.image],
            camids=camera,
            modalities=modality,
            views=sample.view,
            img_paths=path,
        )


class TestImages(Dataset[Item]):
    """Queries and gallery of one data set, resized and nothing else."""

    __test__ = False  # not a test case, whatever pytest thinks of its name

    def __init__(self, dataset: ImageDataset, size: Sequence[int], interpolation: str) -> None:
        self.dataset = dataset
        self.items: list[DatasetItem] = [*dataset.query, *dataset.gallery]
        self.size, self.interpolation = size, interpolation

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Item:
        path, identity, camera = self.items[index]
        return Item(
            images=read_image(path, self.size, self.interpolation),
            targets=identity,
            camids=camera,
            modalities=modality_of(self.dataset, self.items[index]),
            views=0,
            img_paths=path,
        )
