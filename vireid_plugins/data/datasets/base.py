"""What the cross-modality data sets share."""

import logging
import os
import posixpath
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from fastreid.config import CfgNode
from fastreid.data.datasets import DATASET_REGISTRY
from fastreid.data.datasets.bases import ImageDataset
from tabulate import tabulate

from vireid_plugins.config.check import registered
from vireid_plugins.data.batch import INFRARED, VISIBLE
from vireid_plugins.errors import ConfigError, DataError, require_name

logger = logging.getLogger("fastreid." + __name__)

MODALITIES = {VISIBLE: "visible", INFRARED: "infrared"}
# A fast-reid item: path, identity, camera.
DatasetItem = tuple[str, int, int]
# The images of one identity in one camera: identity, camera, sorted paths relative to the set's folder.
Listing = tuple[int, int, list[str]]
Counts = dict[str, int]
# Pairs (query camera, gallery camera).
CameraPairs = tuple[tuple[int, int], ...]


class CrossModalityDataset(ImageDataset):
    """A data set in fast-reid's form that knows the modality of its images.

    Subclasses set the class variables, which are all that evaluation knows of a data set, tell the `modality` of an
    item, and pass `train`, `query` and `gallery` as functions, so that scoring does not read the training lists.
    `query` and `gallery` are everything any protocol uses, each image once. The functions must be methods: a loader's
    workers may get the data set pickled.

    Args:
        root: the data root, or the set's folder itself.
        train: returns the training items.
        query: returns one half of the test items.
        gallery: returns the other half.

    Raises:
        DataError: something of `layout` is missing; the message names it and where to obtain the set.
    """

    # Folder below the data root.
    dataset_dir: ClassVar[str]
    # What must be in it, the first telling the folder from a data root.
    layout: ClassVar[tuple[str, ...]]
    # Where a user gets it.
    source: ClassVar[str]
    # How `vireid synthesize` and `vireid verify` call its layout.
    layout_name: ClassVar[str]
    # Gallery cameras, in order, by `Protocol.mode`; a protocol without a mode takes all of them.
    galleries: ClassVar[Mapping[str, tuple[int, ...]]] = {}
    # Which cameras do not see which, by `Protocol.drop`: a query of the first camera of a pair does not see the second.
    unseen: ClassVar[Mapping[str, CameraPairs]] = {}
    # The splits that there are; the constructor then takes one as `split`.
    splits: ClassVar[Sequence[int]] = ()
    # The split that this object reads; data sets without splits have None.
    split: int | None = None

    def __init__(
        self,
        root: str,
        train: Callable[[], list[DatasetItem]],
        query: Callable[[], list[DatasetItem]],
        gallery: Callable[[], list[DatasetItem]],
    ) -> None:
        # fast-reid's constructor would read the training list at once; its properties call the functions when asked.
        self.folder = Path(root) if (Path(root) / self.layout[0]).exists() else Path(root) / self.dataset_dir
        self._require_layout()
        self._train: Any = train
        self._query: Any = query
        self._gallery: Any = gallery

    @classmethod
    def options(cls, cfg: CfgNode) -> dict[str, Any]:
        """Return the constructor's keyword arguments that the configuration sets, besides `root`."""
        return {}

    def modality(self, item: DatasetItem) -> int:
        """Return 0 for a visible image, 1 for an infrared one."""
        raise NotImplementedError

    def key(self, path: str) -> str:
        """Return what identifies an image: its path relative to the set's folder, with forward slashes."""
        return posixpath.normpath(path)

    def relative(self, item: DatasetItem) -> str:
        """Return the path of an item relative to the set's folder."""
        return item[0].removeprefix(f"{self.folder}{os.sep}").replace(os.sep, "/")

    def listings(self, modality: int, cameras: Iterable[int] | None = None) -> list[Listing]:
        """Return the test images in the order of the reference loaders: sorted identities, cameras in order.

        Args:
            modality: which images.
            cameras: which cameras, in order; all of them by default.
        """
        raise NotImplementedError

    def official_trials(self, listings: list[Listing], trials: int, shots: int) -> list[list[str]]:
        """Return the images that the data set's own authors draw in each trial, `Protocol.draw` official.

        Args:
            listings: what is drawn from.
            trials: how many trials.
            shots: images of one identity in one camera.

        Raises:
            ConfigError: the data set comes without draws.
            DataError: the draws are missing or do not fit the images on disk.
        """
        raise ConfigError(f"{self.title} has no official draws")

    def subsets(self) -> dict[str, list[DatasetItem]]:
        """Return every list of the set by the name that the published counts use."""
        return {"train": self.train, "test": [*self.query, *self.gallery]}

    def census(self) -> dict[str, Counts]:
        """Count images, identities, cameras and (identity, camera) pairs of every list, and images of every camera."""
        rows: list[tuple[str, str, int, int]] = []
        for subset, items in self.subsets().items():
            rows += [(subset, MODALITIES[self.modality(item)], item[1], item[2]) for item in items]
        return tally(rows)

    def show_train(self) -> None:
        """Log identities, images and cameras of the training set, per modality."""
        self._show("train", self.train)

    def show_test(self) -> None:
        """Log identities, images and cameras of everything that protocols draw queries and galleries from."""
        self._show("test", [*self.query, *self.gallery])

    def _show(self, subset: str, items: list[DatasetItem]) -> None:
        rows = []
        for modality, name in MODALITIES.items():
            chosen = [item for item in items if self.modality(item) == modality]
            rows.append([subset, name, len({i[1] for i in chosen}), len(chosen), len({i[2] for i in chosen})])
        headers = ["subset", "modality", "# ids", "# images", "# cameras"]
        table = tabulate(rows, headers=headers, tablefmt="pipe", numalign="left")
        logger.info("=> Loaded %s from %s:\n%s", self.title, self.folder, table)

    @property
    def title(self) -> str:
        """Name for people, with the split where there are several."""
        name = type(self).__name__
        return name if self.split is None else f"{name} split {self.split}"

    def _require_layout(self) -> None:
        missing = [name for name in self.layout if not (self.folder / name).exists()]
        if missing:
            raise DataError(
                f"{self.dataset_dir} is not complete: in '{self.folder.absolute()}' there is no {', '.join(missing)}.\n"
                f"  Get it: {self.source}.\n"
                f"  Say where it is: export FASTREID_DATASETS=<the folder that holds {self.dataset_dir}>.\n"
                "  Or try the software on a synthetic stand-in:\n"
                f"    vireid synthesize {self.layout_name} --root datasets"
            )


def tally(rows: Iterable[tuple[str, str, int, int]]) -> dict[str, Counts]:
    """Count rows of (list, modality, identity, camera); see `CrossModalityDataset.census`."""
    images: Counter[tuple[str, str, int, int]] = Counter(rows)
    found: dict[str, Counts] = {}
    for subset, modality in sorted({row[:2] for row in images}):
        mine = {row: count for row, count in images.items() if row[:2] == (subset, modality)}
        found[f"{subset} {modality}"] = {
            "images": sum(mine.values()),
            "identities": len({row[2] for row in mine}),
            "cameras": len({row[3] for row in mine}),
            "pairs": len(mine),
        }
        for camera in sorted({row[3] for row in mine}):
            count = sum(count for row, count in mine.items() if row[3] == camera)
            found[f"{subset} {modality} camera {camera}"] = {"images": count}
    return found


def data_root() -> Path:
    """Return the folder that contains `SYSU-MM01` and the other data sets: `$FASTREID_DATASETS`, or `datasets`."""
    return Path(os.environ.get("FASTREID_DATASETS", "datasets"))


def build_dataset(cfg: CfgNode, name: str) -> ImageDataset:
    """Build the data set registered as `name` below the data root.

    Raises:
        ConfigError: no data set has that name.
        DataError: its files are missing or malformed.
    """
    options = build_options(cfg, name)
    return DATASET_REGISTRY.get(name)(root=str(data_root()), **options)


def build_options(cfg: CfgNode, name: str) -> dict[str, Any]:
    """Return what the configuration says to the constructor of the data set registered as `name`.

    Raises:
        ConfigError: no data set has that name.
    """
    require_name("DATASETS", name, registered(DATASET_REGISTRY))
    factory = DATASET_REGISTRY.get(name)
    return factory.options(cfg) if issubclass(factory, CrossModalityDataset) else {}
