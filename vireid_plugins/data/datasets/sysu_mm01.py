"""SYSU-MM01 (Wu et al., "RGB-Infrared Cross-Modality Person Re-Identification", ICCV 2017).

Layout: `cam1..cam6/<id:04d>/<n:04d>.jpg`; `exp/{train,val,test}_id.txt`, one line of comma separated identities;
`exp/rand_perm_cam.mat`, the official gallery draws. Cameras 3 and 6 see infrared, 1, 2, 4 and 5 colour. The lists say
who belongs where: 22 identities on disk are in none of them.
"""

import re
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from fastreid.config import CfgNode
from fastreid.data.datasets import DATASET_REGISTRY

from vireid_plugins.data.datasets.base import CrossModalityDataset, DatasetItem
from vireid_plugins.errors import DataError

VISIBLE_CAMERAS = (1, 2, 4, 5)
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
    infrared_cameras: ClassVar[frozenset[int]] = frozenset(INFRARED_CAMERAS)

    def __init__(self, root: str = "datasets", train: str = "trainval", **_: Any) -> None:
        folder = Path(root) if (Path(root) / "exp").is_dir() else Path(root) / self.dataset_dir
        _require(folder)
        self.lists = _LISTS[train]
        self._listings: dict[tuple[int, int], list[str]] = {}
        super().__init__(folder, self._train_items, self._query_items, self._gallery_items)

    @classmethod
    def options(cls, cfg: CfgNode) -> dict[str, Any]:
        """Return `train` as `DATASETS.SYSU.TRAIN` says."""
        return {"train": cfg.DATASETS.SYSU.TRAIN}

    @cached_property
    def test_ids(self) -> list[int]:
        """Sorted test identities."""
        return sorted(read_ids(self.folder / "exp" / "test_id.txt"))

    def images(self, identity: int, camera: int) -> list[str]:
        """Return the sorted paths, relative to the set's folder, of one identity in one camera; maybe none."""
        key = (identity, camera)
        if key not in self._listings:
            folder = self.folder / f"cam{camera}" / f"{identity:04d}"
            self._listings[key] = sorted(str(file.relative_to(self.folder)) for file in folder.glob("*.jpg"))
        return self._listings[key]

    def _items(self, identities: Iterable[int], cameras: Iterable[int]) -> list[DatasetItem]:
        cameras = tuple(cameras)
        return [
            (str(self.folder / path), identity, camera)
            for identity in identities
            for camera in cameras
            for path in self.images(identity, camera)
        ]

    def _train_items(self) -> list[DatasetItem]:
        identities = [i for name in self.lists for i in read_ids(self.folder / "exp" / f"{name}_id.txt")]
        return self._items(sorted(identities), range(1, 7))

    def _query_items(self) -> list[DatasetItem]:
        return self._items(self.test_ids, INFRARED_CAMERAS)

    def _gallery_items(self) -> list[DatasetItem]:
        return self._items(self.test_ids, VISIBLE_CAMERAS)


def read_ids(file: Path) -> list[int]:
    """Read one line of comma separated identities.

    Raises:
        DataError: the file is missing, empty, or holds something else.
    """
    try:
        text = file.read_text(encoding="utf-8").strip().strip(",")
    except OSError as error:
        raise DataError(f"SYSU-MM01: '{file}' cannot be read: {error.strerror}") from None
    if not re.fullmatch(r"\d+(\s*,\s*\d+)*", text):
        raise DataError(f"SYSU-MM01: '{file}' must hold one line of comma separated identities, got '{text[:60]}'")
    return [int(word) for word in text.split(",")]


def _require(folder: Path) -> None:
    wanted = [f"cam{c}" for c in range(1, 7)] + ["exp/train_id.txt", "exp/val_id.txt", "exp/test_id.txt"]
    missing = [name for name in wanted if not (folder / name).exists()]
    if missing:
        raise DataError(
            f"SYSU-MM01 is not complete: in '{folder.absolute()}' there is no {', '.join(missing)}.\n"
            "  Get it: sign the agreement of the repository wuancong/SYSU-MM01 (GitHub); rand_perm_cam.mat is in its "
            "evaluation/data_split/ and goes to exp/.\n"
            "  Say where it is: export FASTREID_DATASETS=<the folder that holds SYSU-MM01>.\n"
            "  Or try the software on a synthetic stand-in:\n"
            "    python tools/make_synthetic.py SYSUMM01 --root datasets"
        )
