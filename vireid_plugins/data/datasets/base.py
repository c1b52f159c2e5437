"""Base class and construction of the cross-modality data sets."""

import itertools
import logging
import numbers
import os
import posixpath
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from fastreid.config import CfgNode
from fastreid.data.datasets import DATASET_REGISTRY
from fastreid.data.datasets.bases import ImageDataset
from tabulate import tabulate

from vireid_plugins.config.check import registered
from vireid_plugins.config.path_keys import expanded
from vireid_plugins.data.batch import INFRARED, VISIBLE
from vireid_plugins.data.datasets.folders import exists, image_names
from vireid_plugins.errors import ConfigError, DataError, require_name
from vireid_plugins.escape import FILE_ONLY, Lines

logger = logging.getLogger("fastreid." + __name__)

MODALITIES = {VISIBLE: "visible", INFRARED: "infrared"}
# A fast-reid item: path, identity, camera.
DatasetItem = tuple[str, int, int]
# The images of an identity in a camera: identity, camera, sorted paths relative to the data set's folder.
Listing = tuple[int, int, list[str]]
Counts = dict[str, int]
# Pairs (query camera, gallery camera).
CameraPairs = tuple[tuple[int, int], ...]
Found = TypeVar("Found")


class CrossModalityDataset(ImageDataset):
    """A fast-reid data set that knows the modality of its images.

    A subclass sets the class variables, from which evaluation takes all facts about a data set, implements `modality`,
    and passes `train`, `query` and `gallery` as functions, so that scoring does not read the training lists. Together,
    `query` and `gallery` contain every image that any protocol uses, once. The functions must be methods, because a
    data set may be pickled for a loader's workers.

    Args:
        root: the data root, or the data set's folder itself.
        train: returns the training items.
        query: returns one half of the test items.
        gallery: returns the other half.

    Raises:
        DataError: a file or folder of `layout` is missing; the message names it and where to obtain the data set.
    """

    # Folder below the data root.
    dataset_dir: ClassVar[str]
    # Files and folders that it must contain; the first one distinguishes it from a data root.
    layout: ClassVar[tuple[str, ...]]
    # Where to obtain it.
    source: ClassVar[str]
    # Name of its layout in `vireid synthesize` and `vireid verify`.
    layout_name: ClassVar[str]
    # Gallery cameras, in order, by `Protocol.mode`; a protocol without a mode uses all of them.
    galleries: ClassVar[Mapping[str, tuple[int, ...]]] = {}
    # Excluded pairs of cameras by `Protocol.drop`: gallery images of the second are excluded for queries of the first.
    unseen: ClassVar[Mapping[str, CameraPairs]] = {}
    # The available splits; the constructor then takes one as `split`.
    splits: ClassVar[Sequence[int]] = ()
    # Whether it knows the identities of its images; without them it can be trained on, by methods without labels.
    labeled: ClassVar[bool] = True
    # Set to a list, what is wrong is collected there and left out, instead of raised; see `tolerated`.
    problems: list[DataError] | None = None
    # The split that this object reads; None for a data set without splits.
    split: int | None = None

    def __init__(
        self,
        root: str,
        train: Callable[[], list[DatasetItem]],
        query: Callable[[], list[DatasetItem]],
        gallery: Callable[[], list[DatasetItem]],
    ) -> None:
        # fast-reid's constructor would read the training list now; its properties call the functions on first access.
        self.folder = self.located(Path(root))
        self._require_layout()
        self._train: Any = train
        self._query: Any = query
        self._gallery: Any = gallery

    @classmethod
    def options(cls, cfg: CfgNode) -> dict[str, Any]:
        """Return the constructor's keyword arguments, except `root`, that the configuration sets."""
        return {}

    def located(self, root: Path) -> Path:
        """Return the data set's folder, given the constructor's `root`."""
        return root if exists(root / self.layout[0]) else root / self.dataset_dir

    def modality(self, item: DatasetItem) -> int:
        """Return 0 for a visible image, 1 for an infrared one."""
        raise NotImplementedError

    def key(self, path: str) -> str:
        """Return the string that identifies an image: its path relative to the data set's folder, normalized."""
        return posixpath.normpath(path)

    def relative(self, item: DatasetItem) -> str:
        """Return the path of an item relative to the data set's folder, with forward slashes."""
        return item[0].removeprefix(f"{self.folder}{os.sep}").replace(os.sep, "/")

    def listings(self, modality: int, cameras: Iterable[int] | None = None) -> list[Listing]:
        """Return the test images in the order of the reference loaders: sorted identities, cameras in order.

        Args:
            modality: 0 visible, 1 infrared.
            cameras: cameras to list, in order; by default all of them.
        """
        raise NotImplementedError

    def official_trials(self, listings: list[Listing], trials: int, shots: int) -> list[list[str]]:
        """Return the images of each trial as drawn by the data set's authors (`Protocol.draw` is `official`).

        Args:
            listings: images to draw from.
            trials: number of trials T.
            shots: images per identity and camera.

        Raises:
            ConfigError: the data set has no official draws.
            DataError: the draws are missing or do not match the images on disk.
        """
        raise ConfigError(f"{self.title} has no official draws")

    def training_lists(self, identities: Container[int]) -> list[Path]:
        """Return the files that name these training identities, for messages."""
        return []

    def test_lists(self, identities: Container[int]) -> list[Path]:
        """Return the files that name these test identities, for messages."""
        return []

    def names(self, folder: str) -> list[str]:
        """Return the sorted names of the images in a folder below the data set's, none if it does not exist."""
        return self.tolerated(lambda: image_names(f"{self.folder}{os.sep}{folder}"))

    def tolerated(self, read: Callable[[], list[Found]]) -> list[Found]:
        """Return what `read` returns; if `problems` is a list, add a `DataError` to it and return nothing."""
        try:
            return read()
        except DataError as error:
            if self.problems is None:
                raise
            if str(error) not in map(str, self.problems):
                self.problems.append(error)
            return []

    def require_complete(self) -> None:
        """Raise a `DataError` that names a folder or list if test images that lists promise are not on disk."""

    def warn_of_gaps(self) -> None:
        """Log a warning if images that the training lists promise are not on disk."""

    def subsets(self) -> dict[str, list[DatasetItem]]:
        """Return every list of the data set, under the name that the published counts use."""
        return {name: read() for name, read in self.subset_readers().items()}

    def subset_readers(self) -> dict[str, Callable[[], list[DatasetItem]]]:
        """Return a function that reads it for every list of the data set."""
        return {"train": lambda: self.train, "test": lambda: [*self.query, *self.gallery]}

    def census(self) -> dict[str, Counts]:
        """Count images, identities, cameras and (identity, camera) pairs per list, and images per camera."""
        return self.counted(self.subsets())

    def counted(self, subsets: Mapping[str, Iterable[DatasetItem]]) -> dict[str, Counts]:
        """Count the items of some lists; see `census`."""
        rows: list[tuple[str, str, int, int]] = []
        for subset, items in subsets.items():
            rows += [(subset, MODALITIES[self.modality(item)], item[1], item[2]) for item in items]
        return tally(rows)

    def show_train(self) -> None:
        """Log the number of identities, images and cameras of the training set, per modality."""
        self._show("train", self.train)

    def show_test(self) -> None:
        """Log the number of identities, images and cameras of all test images, per modality."""
        self._show("test", [*self.query, *self.gallery])

    def _show(self, subset: str, items: list[DatasetItem]) -> None:
        rows = []
        for modality, name in MODALITIES.items():
            images = [item for item in items if self.modality(item) == modality]
            rows.append([subset, name, len({i[1] for i in images}), len(images), len({i[2] for i in images})])
        headers = ["subset", "modality", "# ids", "# images", "# cameras"]
        table = tabulate(rows, headers=headers, tablefmt="pipe", numalign="left")
        counts = " and ".join(f"{row[3]} {row[1]}" for row in rows)
        short = f"{self.title}: {counts} images to {subset} on, of {len({item[1] for item in items})} identities"
        # A test set is loaded for every evaluation.
        extra = {"on_screen": short} if subset == "train" else FILE_ONLY
        logger.info("=> Loaded %s from %s:\n%s", self.title, self.folder, Lines(table), extra=extra)

    @property
    def title(self) -> str:
        """Name to display, with the split if the data set has splits."""
        name = type(self).__name__
        return name if self.split is None else f"{name} split {self.split}"

    def _require_layout(self) -> None:
        missing = [name for name in self.layout if not exists(self.folder / name)]
        if missing:
            raise DataError(
                f"{self.dataset_dir} is incomplete: '{self.folder.absolute()}' lacks {', '.join(missing)}.",
                f"  To obtain it: {self.source}.",
                f"  If it is elsewhere: export FASTREID_DATASETS=<the folder that contains {self.dataset_dir}>.",
                "  To try the software on a synthetic stand-in:",
                f"    vireid synthesize {self.layout_name} --root datasets",
            )


def tally(rows: Iterable[tuple[str, str, int, int]]) -> dict[str, Counts]:
    """Count rows of (list, modality, identity, camera); see `CrossModalityDataset.census`."""
    images: Counter[tuple[str, str, int, int]] = Counter(rows)
    counts: dict[str, Counts] = {}
    for subset, modality in sorted({row[:2] for row in images}):
        group = {row: count for row, count in images.items() if row[:2] == (subset, modality)}
        counts[f"{subset} {modality}"] = {
            "images": sum(group.values()),
            "identities": len({row[2] for row in group}),
            "cameras": len({row[3] for row in group}),
            "pairs": len(group),
        }
        for camera in sorted({row[3] for row in group}):
            of_camera = sum(count for row, count in group.items() if row[3] == camera)
            counts[f"{subset} {modality} camera {camera}"] = {"images": of_camera}
    return counts


def data_root() -> Path:
    """Return the folder that contains `SYSU-MM01` and the other data sets: `$FASTREID_DATASETS`, or `datasets`.

    Raises:
        ConfigError: the variable names another one that is not set.
    """
    return Path(expanded(os.environ.get("FASTREID_DATASETS", "datasets"), "FASTREID_DATASETS"))


def build_dataset(cfg: CfgNode, name: str) -> ImageDataset:
    """Build the data set registered as `name` from its folder below the data root.

    Raises:
        ConfigError: no data set has that name.
        DataError: its files are missing or malformed.
    """
    options = build_options(cfg, name)
    root = data_root()
    try:
        dataset: ImageDataset = DATASET_REGISTRY.get(name)(root=str(root), **options)
    except (RuntimeError, AssertionError) as error:
        # What fast-reid's own sets raise, MSMT17 an assertion, which do not say where to put them.
        if isinstance(error, DataError) or not str(error).endswith("not found"):
            raise
        raise DataError(
            f"{name}: {error}; set FASTREID_DATASETS to the folder that contains it, now '{root.absolute()}'"
        ) from None
    return dataset


def build_options(cfg: CfgNode, name: str) -> dict[str, Any]:
    """Return the keyword arguments that the configuration sets for the data set registered as `name`.

    Raises:
        ConfigError: no data set has that name.
    """
    require_name("DATASETS", name, registered(DATASET_REGISTRY))
    factory = DATASET_REGISTRY.get(name)
    return factory.options(cfg) if issubclass(factory, CrossModalityDataset) else {}


def require_separate(trained: Iterable[ImageDataset], tested: Iterable[ImageDataset]) -> None:
    """Raise a `DataError` if a training set has an identity of a test set in the same folder."""
    for train, test in itertools.product(trained, tested):
        if not (isinstance(train, CrossModalityDataset) and isinstance(test, CrossModalityDataset)):
            continue
        if train.folder.resolve() != test.folder.resolve():
            continue
        shared = {item[1] for item in train.train} & {item[1] for item in (*test.query, *test.gallery)}
        if shared:
            names = ", ".join(map(str, sorted(shared)[:20])) + ", ..." * (len(shared) > 20)
            lists = [[str(file) for file in files] for files in (train.training_lists(shared), test.test_lists(shared))]
            raise DataError(
                f"{train.title} would be trained on test identities: {', '.join(lists[0]) or 'the training set'} and "
                f"{', '.join(lists[1]) or 'the test set'} share {names}; list each identity in one of them"
            )


def require_items(dataset: ImageDataset, items: Sequence[Any], kind: str) -> None:
    """Check the items of a data set, which another package may have written.

    Args:
        dataset: the data set. Identities and cameras of fast-reid's own sets may be texts.
        items: its items, each (path, identity, camera).
        kind: name of the list in the message: `train`, `query` or `gallery`.

    Raises:
        DataError: an item has another form; the message shows the first one.
    """
    cross = isinstance(dataset, CrossModalityDataset)
    folder = f"{dataset.folder}{os.sep}" if cross else ""
    form = f"the path of an image that starts with '{folder}'" if cross else "the path of an image"
    texts = bool(items) and not cross and isinstance(items[0], tuple | list) and isinstance(items[0][1], str)
    if cross and _are_items(items, folder):
        return
    for number, item in enumerate(items):
        if (
            not isinstance(item, tuple | list)
            or len(item) != 3
            or not isinstance(item[0], str)
            or not item[0].startswith(folder)
            or not (isinstance(item[1], str) if texts else _is_whole(item[1]))
            or not (_is_whole(item[2]) or (not cross and isinstance(item[2], str)))
        ):
            name = dataset.title if cross else type(dataset).__name__
            labels = "two whole numbers" if cross else "labels of one type"
            raise DataError(
                f"{name}: item {number} of {kind} is {item!r}; it must be (path, identity, camera) with {form}, as "
                f"text, and {labels}"
            )


def _are_items(items: Sequence[Any], folder: str) -> bool:
    """Return whether all items are tuples (path below the folder, int, int), column by column: much faster."""
    if not items or {*map(type, items)} != {tuple} or {*map(len, items)} != {3}:
        return False
    paths, identities, cameras = zip(*items, strict=True)
    types = [{*map(type, column)} for column in (paths, identities, cameras)]
    return types == [{str}, {int}, {int}] and all(path.startswith(folder) for path in paths)


def _is_whole(value: Any) -> bool:
    # The first alone is nearly always asked, and is much faster.
    return type(value) is int or (isinstance(value, numbers.Integral) and not isinstance(value, bool))
