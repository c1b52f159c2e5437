"""SYSU-MM01 (Wu et al., "RGB-Infrared Cross-Modality Person Re-Identification", ICCV 2017).

Layout: `cam1..cam6/<id:04d>/<n:04d>.jpg`; `exp/{train,val,test}_id.txt`, one line of comma separated identities;
`exp/rand_perm_cam.mat`, the official gallery draws. Cameras 3 and 6 see infrared, 1, 2, 4 and 5 colour. The lists say
who belongs where: 22 identities on disk are in none of them.
"""

from collections.abc import Iterable
from functools import cached_property
from typing import Any, ClassVar

from fastreid.config import CfgNode
from fastreid.data.datasets import DATASET_REGISTRY

from vireid_plugins.data.batch import INFRARED, VISIBLE
from vireid_plugins.data.datasets.base import CrossModalityDataset, DatasetItem, Listing
from vireid_plugins.data.datasets.lists import read_ids

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
        DataError: a file or folder is missing or malformed; the message names it and says where the set is had.
    """

    dataset_dir: ClassVar[str] = "SYSU-MM01"
    layout: ClassVar[tuple[str, ...]] = (
        *(f"cam{camera}" for camera in CAMERAS),
        *(f"exp/{name}_id.txt" for name in ("train", "val", "test")),
    )
    source: ClassVar[str] = (
        "sign the agreement of the repository wuancong/SYSU-MM01 (GitHub); rand_perm_cam.mat is in its "
        "evaluation/data_split/ and goes to exp/"
    )
    layout_name: ClassVar[str] = "SYSUMM01"
    # The list that is tested, and its cameras.
    test_list: ClassVar[str] = "test"
    query_cameras: ClassVar[tuple[int, ...]] = INFRARED_CAMERAS
    gallery_cameras: ClassVar[tuple[int, ...]] = (1, 2, 4, 5)

    def __init__(self, root: str = "datasets", train: str = "trainval", **_: Any) -> None:
        self.lists = _LISTS[train]
        self._listings: dict[tuple[int, int], list[str]] = {}
        super().__init__(root, self._train_items, self._query_items, self._gallery_items)

    @classmethod
    def options(cls, cfg: CfgNode) -> dict[str, Any]:
        """Return `train` as `DATASETS.SYSU.TRAIN` says."""
        return {"train": cfg.DATASETS.SYSU.TRAIN}

    def modality(self, item: DatasetItem) -> int:
        """Return the modality of the item's camera."""
        return INFRARED if item[2] in INFRARED_CAMERAS else VISIBLE

    @cached_property
    def test_ids(self) -> list[int]:
        """Sorted identities that are tested."""
        return self.identities(self.test_list)

    def identities(self, name: str) -> list[int]:
        """Return the sorted identities of the list `train`, `val` or `test`."""
        return sorted(read_ids(self.folder / "exp" / f"{name}_id.txt"))

    def images(self, identity: int, camera: int) -> list[str]:
        """Return the sorted paths, relative to the set's folder, of one identity in one camera; maybe none."""
        key = (identity, camera)
        if key not in self._listings:
            folder = self.folder / f"cam{camera}" / f"{identity:04d}"
            self._listings[key] = sorted(file.relative_to(self.folder).as_posix() for file in folder.glob("*.jpg"))
        return self._listings[key]

    def listings(self, modality: int, cameras: Iterable[int] | None = None) -> list[Listing]:
        """Return the test images by identity and camera, see the base class."""
        ordered = tuple(cameras or (self.query_cameras if modality == INFRARED else self.gallery_cameras))
        found = ((identity, camera, self.images(identity, camera)) for identity in self.test_ids for camera in ordered)
        return [listing for listing in found if listing[2]]

    def subsets(self) -> dict[str, list[DatasetItem]]:
        """Return the three lists."""
        return {name: self._items(self.identities(name), CAMERAS) for name in ("train", "val", "test")}

    def _items(self, identities: Iterable[int], cameras: Iterable[int]) -> list[DatasetItem]:
        cameras = tuple(cameras)
        return [
            (str(self.folder / path), identity, camera)
            for identity in identities
            for camera in cameras
            for path in self.images(identity, camera)
        ]

    def _train_items(self) -> list[DatasetItem]:
        return self._items(sorted(i for name in self.lists for i in self.identities(name)), CAMERAS)

    def _query_items(self) -> list[DatasetItem]:
        return self._items(self.test_ids, self.query_cameras)

    def _gallery_items(self) -> list[DatasetItem]:
        return self._items(self.test_ids, self.gallery_cameras)


@DATASET_REGISTRY.register()
class SYSUMM01Val(SYSUMM01):
    """The 99 validation identities of SYSU-MM01: infrared camera 3 against the visible cameras 4 and 5.

    They choose the epoch when `DATASETS.SYSU.TRAIN` is `train`, which leaves them out of the training.
    """

    test_list: ClassVar[str] = "val"
    query_cameras: ClassVar[tuple[int, ...]] = (3,)
    gallery_cameras: ClassVar[tuple[int, ...]] = (4, 5)
