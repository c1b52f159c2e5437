"""LLCM (Zhang and Wang, "Diverse Embedding Expansion Network and Low-Light Cross-Modality Benchmark for
Visible-Infrared Person Re-identification", CVPR 2023).

Layout: `idx/{train_vis,train_nir,test_vis,test_nir}.txt` with lines `vis/0891/0891_c05_s181957_f20790_vis.jpg 0`,
`idx/test_id.txt` with one line of identities, `{vis,nir}/<pid:04d>/`; for testing `test_{vis,nir}/cam<c>/<pid:04d>/`.
Nine locations, each with a visible camera and, except location 3, a near-infrared camera of the same number. Like the
authors' loader, this one reads the test folders; the test lists `idx/test_{vis,nir}.txt` only say which folders must be
there.
"""

import re
from collections.abc import Container, Iterable
from functools import cached_property, partial
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from fastreid.data.datasets import DATASET_REGISTRY

from vireid_plugins.data.batch import INFRARED, VISIBLE
from vireid_plugins.data.datasets.base import CrossModalityDataset, DatasetItem, Listing
from vireid_plugins.data.datasets.folders import ListedImages
from vireid_plugins.data.datasets.lists import read_ids, read_images, read_labelled_paths
from vireid_plugins.errors import DataError

CAMERAS = {VISIBLE: range(1, 10), INFRARED: (1, 2, 4, 5, 6, 7, 8, 9)}
SUFFIX = {VISIBLE: "vis", INFRARED: "nir"}
NAME = re.compile(r"(?P<identity>\d+)_c(?P<camera>\d+)_.*_(?P<modality>vis|nir)\.\w+")


@DATASET_REGISTRY.register()
class LLCM(CrossModalityDataset):
    """Training images, near-infrared queries and visible gallery of LLCM; protocols also swap query and gallery.

    Args:
        root: the data root, or the folder `LLCM` itself.

    Raises:
        DataError: a file or folder is missing or malformed; the message names it and where to obtain the set.
    """

    dataset_dir: ClassVar[str] = "LLCM"
    layout: ClassVar[tuple[str, ...]] = (
        *("vis", "nir", "test_vis", "test_nir"),
        *(f"idx/{name}.txt" for name in ("train_vis", "train_nir", "test_id")),
    )
    source: ClassVar[str] = "sign the agreement of the repository ZYK100/LLCM (GitHub)"
    layout_name: ClassVar[str] = "LLCM"

    def __init__(self, root: str = "datasets", **_: Any) -> None:
        self._listings: dict[int, list[Listing]] = {}
        super().__init__(
            root,
            self._train_items,
            partial(self._test_items, INFRARED),
            partial(self._test_items, VISIBLE),
        )

    def modality(self, item: DatasetItem) -> int:
        """Return the modality from the file name's suffix, since visible and infrared cameras share their numbers."""
        return INFRARED if item[0].rpartition(".")[0].endswith("_nir") else VISIBLE

    def key(self, path: str) -> str:
        """Return the file name, which is unique in LLCM."""
        return path.rpartition("/")[2]

    def training_lists(self, identities: Container[int]) -> list[Path]:
        """Return the two training lists."""
        return [self._list(f"train_{suffix}") for suffix in SUFFIX.values()]

    def test_lists(self, identities: Container[int]) -> list[Path]:
        """Return the list of test identities."""
        return [self._list("test_id")]

    @cached_property
    def test_ids(self) -> list[int]:
        """Sorted test identities."""
        return sorted(self.tolerated(lambda: read_ids(self._list("test_id"))))

    def _list(self, name: str) -> Path:
        return self.folder / "idx" / f"{name}.txt"

    def listings(self, modality: int, cameras: Iterable[int] | None = None) -> list[Listing]:
        """Return the test images by identity and camera; see the base class."""
        if modality not in self._listings:
            self._listings[modality] = [
                (identity, camera, images)
                for identity in self.test_ids
                for camera in CAMERAS[modality]
                if (images := self._images(modality, identity, camera))
            ]
        wanted = set(cameras or CAMERAS[modality])
        return [listing for listing in self._listings[modality] if listing[1] in wanted]

    def _images(self, modality: int, identity: int, camera: int) -> list[str]:
        folder = f"test_{SUFFIX[modality]}/cam{camera}/{identity:04d}"
        return [f"{folder}/{name}" for name in self.names(folder) if self._is_named(folder, name)]

    def _is_named(self, folder: str, name: str) -> bool:
        return bool(self.tolerated(lambda: [parse(name, str(self.folder / folder / name))]))

    def require_complete(self) -> None:
        """Raise a `DataError` if a test identity, or a folder that a test list names, has no image."""
        for modality in SUFFIX:
            self._require_listed(modality)

    def _require_listed(self, modality: int) -> None:
        present = {(identity, camera) for identity, camera, _ in self.listings(modality)}
        file = self._list(f"test_{SUFFIX[modality]}")
        listed = _listed(file)
        for identity, camera in sorted(listed - present):
            if identity in self.test_ids and camera in CAMERAS[modality]:
                folder = self.folder / f"test_{SUFFIX[modality]}" / f"cam{camera}" / f"{identity:04d}"
                raise DataError(f"'{folder}' is missing or has no image, but '{file}' lists images of it")
        absent = sorted(set(self.test_ids) - {identity for identity, _ in present})
        if absent:
            raise DataError(
                f"'{self._list('test_id')}' names identities without an image in "
                f"'{self.folder / f'test_{SUFFIX[modality]}'}': {', '.join(map(str, absent))}; copy their folders"
            )

    def _test_items(self, modality: int) -> list[DatasetItem]:
        return [
            (str(self.folder / path), identity, camera)
            for identity, camera, images in self.listings(modality)
            for path in images
        ]

    def _train_items(self) -> list[DatasetItem]:
        images = ListedImages(self.names)
        rows = [(file, path) for file in self.training_lists(()) for path in self._named_in(file)]
        return [
            (str(self.folder / images.on_disk(path)), *parse(PurePosixPath(path).name, f"{file}: {path}")[:2])
            for file, path in rows
        ]

    def _named_in(self, file: Path) -> list[str]:
        """Return the paths in a training list, all of which must have a name of LLCM."""

        def is_named(path: str) -> bool:
            return bool(self.tolerated(lambda: [parse(PurePosixPath(path).name, f"{file}: {path}")]))

        return [path for path, _ in self.tolerated(lambda: read_images(file)) if is_named(path)]


def _listed(file: Path) -> set[tuple[int, int]]:
    """Return the identities and cameras in a test list, which may be missing or wrong since no image comes from it."""
    try:
        names = [PurePosixPath(path).name for path, _ in read_labelled_paths(file)]
    except DataError:
        return set()
    return {(int(match["identity"]), int(match["camera"])) for name in names if (match := NAME.fullmatch(name))}


def parse(name: str, where: str) -> tuple[int, int, int]:
    """Return the identity, camera and modality in a file name.

    Args:
        name: such as `0891_c05_s181957_f20790_vis.jpg`.
        where: name of the file in the error.

    Raises:
        DataError: the name has a different form.
    """
    match = NAME.fullmatch(name)
    if not match:
        raise DataError(f"'{where}': an image must have a name like 0891_c05_s181957_f20790_vis.jpg")
    modality = INFRARED if match["modality"] == "nir" else VISIBLE
    return int(match["identity"]), int(match["camera"]), modality
