"""Images of one's own that nobody has labeled: folders of cameras, or of the two modalities."""

import logging
import os
import re
from collections import Counter
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from fastreid.config import CfgNode
from fastreid.data.datasets import DATASET_REGISTRY
from tqdm import tqdm

from vireid_plugins.data.datasets.base import MODALITIES, CrossModalityDataset, DatasetItem
from vireid_plugins.data.datasets.folders import exists
from vireid_plugins.data.datasets.own_images import modality_of, subfolders
from vireid_plugins.data.decode import DATASET_SUFFIXES, SEARCH_SUFFIXES, read_image
from vireid_plugins.data.modality_guess import guess_modality
from vireid_plugins.errors import DataError
from vireid_plugins.io.system_files import passed_over
from vireid_plugins.io.walk import folders_below

logger = logging.getLogger("fastreid." + __name__)
# The identity of an image that nobody has labeled.
NOBODY = -1
# Height and width at which colors are looked at.
GUESSED_AT = (128, 64)


class Found(NamedTuple):
    """What the folder holds.

    Attributes:
        items: path, camera and modality of each image.
        unsure: images left out because their modality is unsure.
        others: number of images of each ending that training does not read.
    """

    items: list[tuple[str, int, int]]
    unsure: list[str]
    others: Counter[str]


@DATASET_REGISTRY.register()
class UnlabeledFolder(CrossModalityDataset):
    """Images below folders, one folder a camera, without identities; to train on, not to test on.

    A folder whose name has a word for a modality, such as `visible`, `infrared`, `cam1_rgb` or `ir`, has images of that
    modality. Images of other folders are looked at, each by itself, since many cameras turn infrared at night; those
    whose colors do not decide are left out, with one warning. Folders in folders, whatever they stand for, are not told
    apart.

    Args:
        root: the data root, or the folder itself.
        place: the folder; empty: `root` says where it is.

    Raises:
        DataError: the folder does not exist, or has no folder of images.
    """

    dataset_dir: ClassVar[str] = "own"
    source: ClassVar[str] = "these are images of your own"
    layout: ClassVar[tuple[str, ...]] = ()
    layout_name: ClassVar[str] = "UnlabeledFolder"
    labeled: ClassVar[bool] = False

    def __init__(self, root: str = "datasets", *, place: str = "", **_: Any) -> None:
        self.place = place
        super().__init__(root, self._train_items, self._nothing, self._nothing)

    @classmethod
    def options(cls, cfg: CfgNode) -> dict[str, Any]:
        """Return the value of `DATASETS.OWN.ROOT`."""
        return {"place": cfg.DATASETS.OWN.ROOT}

    def located(self, root: Path) -> Path:
        """Return the folder."""
        if self.place:
            return Path(self.place)
        return root / self.dataset_dir if exists(root / self.dataset_dir) else root

    def modality(self, item: DatasetItem) -> int:
        """Return what the name of the folder or the image itself says."""
        return self._modalities[item[0]]

    def show_train(self) -> None:
        """Log the number of images and cameras of each modality."""
        of = [self.modality(item) for item in self.train]
        counts = " and ".join(f"{of.count(modality)} {name}" for modality, name in MODALITIES.items())
        cameras = len({item[2] for item in self.train})
        logger.info(
            "%s: %s images without identities to train on, in %d folders of '%s'",
            *(self.title, counts, cameras, self.folder),
        )

    def warn_of_gaps(self) -> None:
        """Log a warning for each reason why images are left out."""
        if unsure := self._found.unsure:
            logger.warning(
                "%s: %d of %d images in '%s' may be visible or infrared and are left out, the first: '%s'; to use "
                "them, put the modality into the name of their folder, such as visible or infrared",
                *(self.title, len(unsure), len(unsure) + len(self._found.items), self.folder, unsure[0]),
            )
        if others := self._found.others:
            logger.warning(
                "%s: images in '%s' are left out, since training reads %s: %s; convert them",
                *(self.title, self.folder, ", ".join(DATASET_SUFFIXES)),
                ", ".join(f"{count} {ending}" for ending, count in sorted(others.items())),
            )
        if loose := _split(self.folder)[0]:
            logger.warning(
                "%s: images in '%s' itself are left out (%d, the first: '%s'); to use them, put them into a folder in "
                "it, such as visible or infrared",
                *(self.title, self.folder, len(loose), loose[0]),
            )

    @cached_property
    def _found(self) -> Found:
        items: list[tuple[str, int, int]] = []
        unsure: list[str] = []
        others: Counter[str] = Counter()
        for camera, name in enumerate(subfolders(self.folder), start=1):
            named = named_modality(name)
            paths, of_camera = _images_below(self.folder / name)
            others += of_camera
            watched = tqdm(paths, name, unit="image", disable=None if named is None and len(paths) > 1000 else True)
            for path in watched:
                modality = _guessed(path) if named is None else named
                if modality is None:
                    unsure.append(path)
                else:
                    items.append((path, camera, modality))
        return Found(items, unsure, others)

    @cached_property
    def _modalities(self) -> dict[str, int]:
        return {path: modality for path, _, modality in self._found.items}

    def _train_items(self) -> list[DatasetItem]:
        ordered = sorted(self._found.items, key=lambda one: (one[2], one[0]))
        return [(path, NOBODY, camera) for path, camera, _ in ordered]

    def _nothing(self) -> list[DatasetItem]:
        return []

    def _require_layout(self) -> None:
        if not exists(self.folder) or not subfolders(self.folder):
            problem = "has no folder in it" if exists(self.folder) else "does not exist"
            raise DataError(
                f"'{self.folder.absolute()}' {problem}. Set DATASETS.OWN.ROOT to the folder that holds visible/ and",
                "infrared/, or a folder for each camera, with crops of one person each (vireid crop makes them)",
            )


def named_modality(folder: str) -> int | None:
    """Return the modality that is a word of a folder's name, or None; also if there are words for both."""
    found = {modality_of(word) for word in re.split(r"[^a-zA-Z]+", folder) if len(word) > 1} - {None}
    return found.pop() if len(found) == 1 else None


def _images_below(folder: Path) -> tuple[list[str], Counter[str]]:
    """Return the paths of all images below a folder, sorted, and the endings of those that training does not read.

    No list names them, so that names which differ only in their suffix are two images.
    """
    paths: list[str] = []
    others: Counter[str] = Counter()
    try:
        for place in folders_below(folder, passed_over):
            images, endings = _split(place)
            paths += images
            others += endings
    except OSError as error:
        raise DataError(f"folder '{error.filename}' cannot be read: {error.strerror}") from None
    return paths, others


def _split(place: Path) -> tuple[list[str], Counter[str]]:
    """Return the sorted paths of the images in a folder, and the endings of those that training does not read."""
    with os.scandir(place) as entries:
        names = sorted(entry.name for entry in entries if not entry.is_dir() and not passed_over(entry.name))
    endings = {name: Path(name).suffix.lower() for name in names}
    images = [str(place / name) for name in names if endings[name] in DATASET_SUFFIXES]
    unread = set(SEARCH_SUFFIXES) - set(DATASET_SUFFIXES)
    return images, Counter(ending for ending in endings.values() if ending in unread)


def _guessed(path: str) -> int | None:
    guess = guess_modality(read_image(path, GUESSED_AT))
    return guess.modality if guess.sure else None
