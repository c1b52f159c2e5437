"""SYSU-MM01 (Wu et al., "RGB-Infrared Cross-Modality Person Re-Identification", ICCV 2017).

Layout: `cam1..cam6/<id:04d>/<n:04d>.jpg`; `exp/{train,val,test}_id.txt`, one line of comma-separated identities;
`exp/rand_perm_cam.mat`, the official gallery draws. Cameras 3 and 6 are infrared, 1, 2, 4 and 5 visible. The lists
assign the identities; 22 identities on disk are in none of them.
"""

import itertools
import logging
import os
from collections.abc import Callable, Container, Iterable, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

from fastreid.config import CfgNode
from fastreid.data.datasets import DATASET_REGISTRY

from vireid_plugins.data.batch import INFRARED, VISIBLE
from vireid_plugins.data.datasets.base import CameraPairs, CrossModalityDataset, DatasetItem, Listing
from vireid_plugins.data.datasets.lists import read_ids
from vireid_plugins.data.datasets.sysu_draws import OfficialDraws
from vireid_plugins.errors import DataError

logger = logging.getLogger("fastreid." + __name__)
CAMERAS = range(1, 7)
INFRARED_CAMERAS = (3, 6)
_LISTS = {"train": ("train",), "trainval": ("train", "val")}


@DATASET_REGISTRY.register()
class SYSUMM01(CrossModalityDataset):
    """Training images, infrared queries and the full visible gallery of SYSU-MM01.

    Args:
        root: the data root, or the folder `SYSU-MM01` itself.
        train: `trainval` (395 identities, the training set of every paper) or `train` (296).

    Raises:
        DataError: a file or folder is missing or malformed; the message names it and where to obtain the set.
    """

    dataset_dir: ClassVar[str] = "SYSU-MM01"
    layout: ClassVar[tuple[str, ...]] = (
        *(f"cam{camera}" for camera in CAMERAS),
        *(f"exp/{name}_id.txt" for name in ("train", "val", "test")),
    )
    source: ClassVar[str] = (
        "sign the agreement of the repository wuancong/SYSU-MM01 (GitHub); copy rand_perm_cam.mat from its "
        "evaluation/data_split/ to exp/"
    )
    layout_name: ClassVar[str] = "SYSUMM01"
    galleries: ClassVar[Mapping[str, tuple[int, ...]]] = {"all": (1, 2, 4, 5), "indoor": (1, 2)}
    # Cameras 2 and 3 film the same room.
    unseen: ClassVar[Mapping[str, CameraPairs]] = {"sysu": ((3, 2),)}
    # List of the test identities, and its cameras.
    test_list: ClassVar[str] = "test"
    query_cameras: ClassVar[tuple[int, ...]] = INFRARED_CAMERAS
    gallery_cameras: ClassVar[tuple[int, ...]] = (1, 2, 4, 5)

    def __init__(self, root: str = "datasets", train: str = "trainval", **_: Any) -> None:
        self.lists = _LISTS[train]
        self._listings: dict[tuple[int, int], list[str]] = {}
        super().__init__(root, self._train_items, self._query_items, self._gallery_items)

    @classmethod
    def options(cls, cfg: CfgNode) -> dict[str, Any]:
        """Return `train` from `DATASETS.SYSU.TRAIN`."""
        return {"train": cfg.DATASETS.SYSU.TRAIN}

    def modality(self, item: DatasetItem) -> int:
        """Return the modality of the item's camera."""
        return INFRARED if item[2] in INFRARED_CAMERAS else VISIBLE

    @cached_property
    def test_ids(self) -> list[int]:
        """Sorted test identities."""
        return self.identities(self.test_list)

    def identities(self, name: str) -> list[int]:
        """Return the sorted identities of the list `train`, `val` or `test`."""
        return sorted(self.tolerated(lambda: read_ids(self._list(name))))

    def images(self, identity: int, camera: int) -> list[str]:
        """Return the sorted paths of an identity in a camera, relative to the data set's folder; may be empty."""
        key = (identity, camera)
        if key not in self._listings:
            folder = f"cam{camera}/{identity:04d}"
            self._listings[key] = [f"{folder}/{name}" for name in self.names(folder)]
        return self._listings[key]

    def listings(self, modality: int, cameras: Iterable[int] | None = None) -> list[Listing]:
        """Return the test images by identity and camera; see the base class."""
        ordered = tuple(cameras or (self.query_cameras if modality == INFRARED else self.gallery_cameras))
        pairs = ((identity, camera) for identity in self.test_ids for camera in ordered)
        return [(*pair, images) for pair in pairs if (images := self.images(*pair))]

    def official_trials(self, listings: list[Listing], trials: int, shots: int) -> list[list[str]]:
        """Return the draws of `rand_perm_cam.mat`; see the base class."""
        draws = OfficialDraws(self.folder)
        # The file's order: by camera, then by identity.
        rows = [
            (images, draws.rows(camera, identity, len(images), trials)[:trials, :shots].tolist())
            for identity, camera, images in sorted(listings, key=lambda listing: (listing[1], listing[0]))
        ]
        return [
            [images[index - 1] for images, permutations in rows for index in permutations[trial]]
            for trial in range(trials)
        ]

    def require_complete(self) -> None:
        """Compare the folders of the test identities with the official draws, if they are there; see the base class."""
        cameras = (*self.query_cameras, *self.gallery_cameras)
        absent = [i for i in self.test_ids if not any(self.images(i, camera) for camera in cameras)]
        if absent:
            raise DataError(
                f"'{self._list(self.test_list)}' names identities without an image in cameras "
                f"{', '.join(map(str, sorted(cameras)))}: {_listed(absent)}; copy their folders"
            )
        try:
            draws = OfficialDraws(self.folder)
        except DataError:
            # Only the official protocols need them, and say what is wrong.
            return
        for identity in self.test_ids:
            for camera in sorted(cameras):
                draws.rows(camera, identity, len(self.images(identity, camera)))

    def training_lists(self, identities: Container[int]) -> list[Path]:
        """Return those of `train_id.txt` and `val_id.txt` that name training identities."""
        return [self._list(name) for name in self.lists if any(i in identities for i in self.identities(name))]

    def test_lists(self, identities: Container[int]) -> list[Path]:
        """Return the list of test identities."""
        return [self._list(self.test_list)]

    def warn_of_gaps(self) -> None:
        """Log a warning that names training identities without an image."""
        for name in self.lists:
            absent = [i for i in self.identities(name) if not any(self.images(i, camera) for camera in CAMERAS)]
            if absent:
                logger.warning("'%s' names identities without an image: %s", self._list(name), _listed(absent))

    def _list(self, name: str) -> Path:
        return self.folder / "exp" / f"{name}_id.txt"

    def subset_readers(self) -> dict[str, Callable[[], list[DatasetItem]]]:
        """Return functions that read the three lists."""
        return {name: partial(self._of_list, name) for name in ("train", "val", "test")}

    def _of_list(self, name: str) -> list[DatasetItem]:
        return self._items(self.identities(name), CAMERAS)

    def _items(self, identities: Iterable[int], cameras: Iterable[int]) -> list[DatasetItem]:
        cameras, folder = tuple(cameras), os.path.join(self.folder, "")  # noqa: PTH118  much faster for many
        return [
            (folder + path, identity, camera)
            for identity in identities
            for camera in cameras
            for path in self.images(identity, camera)
        ]

    def _train_items(self) -> list[DatasetItem]:
        identities = sorted(i for name in self.lists for i in self.identities(name))
        twice = sorted({first for first, second in itertools.pairwise(identities) if first == second})
        if twice:
            files = " and ".join(f"'{self._list(name)}'" for name in self.lists)
            raise DataError(f"{files} both name identity {_listed(twice)}; list it in one of them")
        return self._items(identities, CAMERAS)

    def _query_items(self) -> list[DatasetItem]:
        return self._items(self.test_ids, self.query_cameras)

    def _gallery_items(self) -> list[DatasetItem]:
        return self._items(self.test_ids, self.gallery_cameras)


@DATASET_REGISTRY.register()
class SYSUMM01Val(SYSUMM01):
    """The 99 validation identities of SYSU-MM01: infrared camera 3 against the visible cameras 4 and 5.

    They pick the best epoch when `DATASETS.SYSU.TRAIN` is `train`, which excludes them from training.
    """

    test_list: ClassVar[str] = "val"
    galleries: ClassVar[Mapping[str, tuple[int, ...]]] = {"val": (4, 5)}
    query_cameras: ClassVar[tuple[int, ...]] = (3,)
    gallery_cameras: ClassVar[tuple[int, ...]] = (4, 5)


def _listed(identities: list[int]) -> str:
    return ", ".join(map(str, identities[:20])) + ", ..." * (len(identities) > 20)
