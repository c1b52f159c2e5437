"""RegDB (Nguyen et al., "Person Recognition System Based on a Combination of Body Images from Visible Light and Thermal
Cameras", Sensors 2017), with the ten splits that the field uses.

Layout: `Visible/<id>/*.bmp`, `Thermal/<id>/*.bmp`, `idx/{train,test}_{visible,thermal}_{1..10}.txt` with lines
`Visible/285/male_back_v_05528_285.bmp 0`. 412 identities with 10 images per modality; each split trains on 206 and
tests on the other 206. A result is the mean over ten trainings, one per split.
"""

from collections.abc import Callable, Container, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from fastreid.config import CfgNode
from fastreid.data.datasets import DATASET_REGISTRY

from vireid_plugins.data.batch import INFRARED, VISIBLE
from vireid_plugins.data.datasets.base import CrossModalityDataset, DatasetItem, Listing
from vireid_plugins.data.datasets.folders import ListedImages
from vireid_plugins.data.datasets.lists import read_images
from vireid_plugins.errors import ConfigError, DataError

FOLDERS = {VISIBLE: "Visible", INFRARED: "Thermal"}


@DATASET_REGISTRY.register()
class RegDB(CrossModalityDataset):
    """One split of RegDB. Identities are the folder numbers; camera 1 is visible, camera 2 thermal.

    Args:
        root: the data root, or the folder `RegDB` itself.
        split: 1 to 10.

    Raises:
        ConfigError: there is no such split.
        DataError: a file or folder is missing or malformed; the message names it and where to obtain the set.
    """

    dataset_dir: ClassVar[str] = "RegDB"
    layout: ClassVar[tuple[str, ...]] = ("Visible", "Thermal", "idx")
    source: ClassVar[str] = (
        "sign the agreement of Dongguk University, dm.dongguk.edu/link.html; idx/ holds the lists of the ten splits "
        "that the field uses, which a copy of the set may lack: ask whoever publishes code for it, such as the author "
        "of the repository mangye16/Cross-Modal-Re-ID-baseline (GitHub)"
    )
    layout_name: ClassVar[str] = "RegDB"
    splits: ClassVar[Sequence[int]] = range(1, 11)

    def __init__(self, root: str = "datasets", split: int = 1, **_: Any) -> None:
        if split not in self.splits:
            raise ConfigError(f"DATASETS.REGDB.SPLIT: RegDB has the splits 1 to 10, got {split}")
        self.split: int = split
        self._listings: dict[int, list[Listing]] = {}
        super().__init__(
            root,
            self._train_items,
            partial(self.items, "test", VISIBLE),
            partial(self.items, "test", INFRARED),
        )

    @classmethod
    def options(cls, cfg: CfgNode) -> dict[str, Any]:
        """Return `split` from `DATASETS.REGDB.SPLIT`."""
        return {"split": cfg.DATASETS.REGDB.SPLIT}

    def modality(self, item: DatasetItem) -> int:
        """Return the modality of the item's camera."""
        return INFRARED if item[2] == 2 else VISIBLE

    def subset_readers(self) -> dict[str, Callable[[], list[DatasetItem]]]:
        """Return functions that read the lists of this split."""
        return {
            f"train {self.split}": lambda: self.train,
            f"test {self.split}": lambda: [*self.query, *self.gallery],
        }

    def items(self, subset: str, modality: int) -> list[DatasetItem]:
        """Return the items of `train` or `test` in the order of the split's list."""
        file = self._list(subset, modality)
        images = ListedImages(self.names)
        rows = []
        for path, _ in self.tolerated(lambda: read_images(file)):
            parts = path.split("/")
            if len(parts) != 3 or parts[0] != FOLDERS[modality] or not parts[1].isdecimal():
                raise DataError(f"'{file}': '{path}' must be {FOLDERS[modality]}/<identity>/<image>")
            rows.append((str(self.folder / images.on_disk(path)), int(parts[1]), 1 if modality == VISIBLE else 2))
        return rows

    def training_lists(self, identities: Container[int]) -> list[Path]:
        """Return the two training lists of the split."""
        return [self._list("train", modality) for modality in FOLDERS]

    def test_lists(self, identities: Container[int]) -> list[Path]:
        """Return the two test lists of the split."""
        return [self._list("test", modality) for modality in FOLDERS]

    def _list(self, subset: str, modality: int) -> Path:
        return self.folder / "idx" / f"{subset}_{FOLDERS[modality].lower()}_{self.split}.txt"

    def _train_items(self) -> list[DatasetItem]:
        return [*self.items("train", VISIBLE), *self.items("train", INFRARED)]

    def listings(self, modality: int, cameras: Iterable[int] | None = None) -> list[Listing]:
        """Return the test images by identity; see the base class."""
        if modality not in self._listings:
            paths: dict[tuple[int, int], list[str]] = {}
            for item in self.items("test", modality):
                paths.setdefault(item[1:], []).append(self.relative(item))
            self._listings[modality] = [(*key, sorted(paths[key])) for key in sorted(paths)]
        return self._listings[modality]
