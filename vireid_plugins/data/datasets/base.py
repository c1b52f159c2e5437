"""What the cross-modality data sets share."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from fastreid.config import CfgNode
from fastreid.data.datasets import DATASET_REGISTRY
from fastreid.data.datasets.bases import ImageDataset
from tabulate import tabulate

from vireid_plugins.config.check import registered, require_name
from vireid_plugins.data.batch import INFRARED, VISIBLE
from vireid_plugins.data.root import data_root

logger = logging.getLogger("fastreid." + __name__)

# A fast-reid item: path, identity, camera.
DatasetItem = tuple[str, int, int]


class CrossModalityDataset(ImageDataset):
    """A data set in fast-reid's form that knows the modality of its cameras.

    Subclasses set the class variables and hand `train`, `query` and `gallery` over as functions, so that scoring does
    not read the training lists. `query` and `gallery` are everything any protocol uses, each image once.
    """

    # Folder below the data root.
    dataset_dir: ClassVar[str]
    # Cameras that see infrared; every other camera is visible.
    infrared_cameras: ClassVar[frozenset[int]]

    def __init__(
        self,
        folder: Path,
        train: Callable[[], list[DatasetItem]],
        query: Callable[[], list[DatasetItem]],
        gallery: Callable[[], list[DatasetItem]],
    ) -> None:
        # fast-reid's constructor would read the training list at once; its properties call the functions when asked.
        self.folder = folder
        self._train: Any = train
        self._query: Any = query
        self._gallery: Any = gallery

    @classmethod
    def options(cls, cfg: CfgNode) -> dict[str, Any]:
        """Return the constructor's keyword arguments that the configuration sets, besides `root`."""
        return {}

    @classmethod
    def modality(cls, camera: int) -> int:
        """Return 0 for a visible camera, 1 for an infrared one."""
        return INFRARED if camera in cls.infrared_cameras else VISIBLE

    def show_train(self) -> None:
        """Log identities, images and cameras of the training set, per modality."""
        self._show({"train": self.train})

    def show_test(self) -> None:
        """Log identities, images and cameras of everything that protocols draw queries and galleries from."""
        self._show({"test": [*self.query, *self.gallery]})

    def _show(self, subsets: dict[str, list[DatasetItem]]) -> None:
        rows = []
        for subset, items in subsets.items():
            for modality, name in ((VISIBLE, "visible"), (INFRARED, "infrared")):
                chosen = [item for item in items if self.modality(item[2]) == modality]
                rows.append([subset, name, len({i[1] for i in chosen}), len(chosen), len({i[2] for i in chosen})])
        headers = ["subset", "modality", "# ids", "# images", "# cameras"]
        table = tabulate(rows, headers=headers, tablefmt="pipe", numalign="left")
        logger.info("=> Loaded %s from %s:\n%s", type(self).__name__, self.folder, table)


def build_dataset(cfg: CfgNode, name: str) -> ImageDataset:
    """Build the data set registered as `name` below the data root.

    Raises:
        ConfigError: no data set has that name.
        DataError: its files are missing or malformed.
    """
    require_name("DATASETS", name, registered(DATASET_REGISTRY))
    factory = DATASET_REGISTRY.get(name)
    options = factory.options(cfg) if issubclass(factory, CrossModalityDataset) else {}
    return factory(root=str(data_root()), **options)
