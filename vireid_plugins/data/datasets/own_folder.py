"""Images of one's own, without a class for them.

Three layouts, all below `DATASETS.OWN.ROOT`: `visible/<identity>/*` and `infrared/<identity>/*`; a table
(`DATASETS.OWN.CSV`, see `own_csv`); or names that say everything (`DATASETS.OWN.PATTERN`, see `own_images`).
"""

import functools
import hashlib
import logging
import re
from collections.abc import Container, Iterable
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

from fastreid.config import CfgNode
from fastreid.data.datasets import DATASET_REGISTRY

from vireid_plugins.data.batch import INFRARED, VISIBLE
from vireid_plugins.data.datasets.base import MODALITIES, CrossModalityDataset, DatasetItem, Listing
from vireid_plugins.data.datasets.folders import ListedImages, exists
from vireid_plugins.data.datasets.own_csv import read_own_csv
from vireid_plugins.data.datasets.own_images import PATTERN, OwnImage, Unmatched, by_pattern, compiled, in_subfolders
from vireid_plugins.errors import ConfigError, DataError

logger = logging.getLogger("fastreid." + __name__)


@DATASET_REGISTRY.register()
class OwnFolder(CrossModalityDataset):
    """Images of one's own, whose identities are divided into training and test.

    The division is the table's column `split` (or the pattern's group), otherwise `test_share` of the identities, drawn
    by `seed`, are tested. Identities that lack a modality are left out, with one warning. Identities and cameras are
    any text; numbers are kept. Without cameras, visible images are of camera 1 and infrared ones of camera 2.

    Args:
        root: the data root, or the folder itself.
        place: the folder; empty: `root` says where it is.
        csv: a table of the images; a relative path that does not exist is looked for in the folder.
        pattern: a regular expression on the paths of the images.
        test_share: share of the identities that are tested, above 0; 1 tests all of them.
        seed: of the draw.

    Raises:
        ConfigError: a value is wrong, or both a table and a pattern are given.
        DataError: a file or folder is missing or malformed, or no identity has both modalities.
    """

    dataset_dir: ClassVar[str] = "own"
    layout: ClassVar[tuple[str, ...]] = tuple(MODALITIES.values())
    source: ClassVar[str] = "these are images of your own"
    layout_name: ClassVar[str] = "OwnFolder"

    def __init__(
        self,
        root: str = "datasets",
        *,
        place: str = "",
        csv: str = "",
        pattern: str = "",
        test_share: float = 0.5,
        seed: int = 0,
        **_: Any,
    ) -> None:
        if csv and pattern:
            raise ConfigError(f"DATASETS.OWN.CSV and {PATTERN}: set one of them, got '{csv}' and '{pattern}'")
        if not 0 < test_share <= 1:
            raise ConfigError(f"DATASETS.OWN.TEST_SHARE: must be above 0 and at most 1, got {test_share}")
        if pattern:
            compiled(pattern)
        self.place, self.csv, self.pattern, self.test_share, self.seed = place, csv, pattern, test_share, seed
        super().__init__(root, self._train_items, partial(self._test, INFRARED), partial(self._test, VISIBLE))

    @classmethod
    def options(cls, cfg: CfgNode) -> dict[str, Any]:
        """Return the values of `DATASETS.OWN`."""
        own = cfg.DATASETS.OWN
        return {
            "place": own.ROOT,
            "csv": own.CSV,
            "pattern": own.PATTERN,
            "test_share": own.TEST_SHARE,
            "seed": own.SEED,
        }

    def located(self, root: Path) -> Path:
        """Return the folder: `place`, that of the table, or as for other data sets."""
        if self.place:
            return Path(self.place)
        if self.csv and exists(Path(self.csv)):
            return Path(self.csv).parent
        return root / self.dataset_dir if exists(root / self.dataset_dir) else root

    @property
    def table(self) -> Path:
        """Path of the table."""
        return Path(self.csv) if exists(Path(self.csv)) else self.folder / self.csv

    def modality(self, item: DatasetItem) -> int:
        """Return what folder, table or name says."""
        return self._modalities[item[0]]

    def listings(self, modality: int, cameras: Iterable[int] | None = None) -> list[Listing]:
        """Return the test images by identity and camera; see the base class."""
        groups: dict[tuple[int, int], list[str]] = {}
        for item in self._test(modality):
            groups.setdefault(item[1:], []).append(self.relative(item))
        wanted = None if cameras is None else set(cameras)
        return [(*key, sorted(groups[key])) for key in sorted(groups) if wanted is None or key[1] in wanted]

    def training_lists(self, identities: Container[int]) -> list[Path]:
        """Return the table, if there is one."""
        return [self.table] if self.csv else []

    test_lists = training_lists

    def require_complete(self) -> None:
        """Warn of identities and images that are left out."""
        self.warn_of_gaps()

    def warn_of_gaps(self) -> None:
        """Log one warning if identities lack a modality, and one if images do not match the pattern."""
        if gaps := self.gaps:
            shown = ", ".join(list(gaps)[:5]) + ", ..." * (len(gaps) > 5)
            _warn_once(
                f"{self.title}: {len(gaps)} of {len(self._identities)} identities in '{self.folder}' lack a modality "
                f"and are left out: {shown}"
            )
        if others := self.unmatched:
            _warn_once(
                f"{self.title}: {len(others)} of {len(others) + len(self._images)} images in '{self.folder}' are left "
                f"out, the first: '{others[0].path}' {others[0].problem}"
            )

    @property
    def gaps(self) -> dict[str, str]:
        """The identities that lack a modality, and the name of the modality."""
        return {
            identity: MODALITIES[VISIBLE + INFRARED - min(found)]
            for identity, found in self._identities.items()
            if len(found) == 1
        }

    @property
    def unmatched(self) -> list[Unmatched]:
        """The images that the pattern does not describe."""
        return self._read[1]

    @cached_property
    def _read(self) -> tuple[list[OwnImage], list[Unmatched]]:
        if self.csv:
            on_disk = ListedImages(self.names)
            return [image._replace(path=on_disk.on_disk(image.path)) for image in read_own_csv(self.table)], []
        return by_pattern(self.folder, self.pattern) if self.pattern else (in_subfolders(self.folder), [])

    @property
    def _images(self) -> list[OwnImage]:
        return self._read[0]

    @cached_property
    def _identities(self) -> dict[str, set[int]]:
        """The modalities of each identity."""
        found: dict[str, set[int]] = {}
        for image in self._images:
            found.setdefault(image.identity, set()).add(image.modality)
        return dict(sorted(found.items()))

    @cached_property
    def _usable(self) -> list[OwnImage]:
        """The images of identities with both modalities; at least one."""
        kept = [image for image in self._images if len(self._identities[image.identity]) == len(MODALITIES)]
        if not kept:
            raise DataError(f"'{self.folder}' has no identity with both modalities: {self._found()}")
        return kept

    def _found(self) -> str:
        """Return what there is, for the message that it is not enough, and what would be right."""
        counts = [sum(image.modality == modality for image in self._images) for modality in MODALITIES]
        text = f"{counts[0]} visible and {counts[1]} infrared images of {len(self._identities)} identities"
        if self.csv:
            return f"'{self.table}' lists {text}"
        if self.pattern:
            others = f" and {len(self.unmatched)} that do not match, such as '{self.unmatched[0].path}'"
            return f"{PATTERN} '{self.pattern}' finds {text}{others if self.unmatched else ''}"
        return f"it has {text}; name the folders of a person alike, visible/<identity>/* and infrared/<identity>/*"

    @cached_property
    def _tested(self) -> set[str]:
        """The test identities."""
        if any(image.split for image in self._images):
            return _of_splits(self._images)
        names = sorted({image.identity for image in self._usable})
        # By a digest each, so that few identities change sides when others are added.
        names.sort(key=lambda name: hashlib.sha256(f"{self.seed} {name}".encode()).digest())
        count = max(1, round(self.test_share * len(names)))
        # Somebody is left to train on, unless all are asked for.
        return set(names[: count if self.test_share == 1 else min(count, len(names) - 1)])

    @cached_property
    def _items(self) -> dict[tuple[bool, int], list[DatasetItem]]:
        """Items by whether they are tested and by modality."""
        identities = numbered({image.identity for image in self._images})
        cameras = numbered({image.camera for image in self._images if image.camera})
        items: dict[tuple[bool, int], list[DatasetItem]] = {}
        for image in self._usable:
            camera = cameras[image.camera] if image.camera else 1 + image.modality
            item = (str(self.folder / image.path), identities[image.identity], camera)
            items.setdefault((image.identity in self._tested, image.modality), []).append(item)
        return items

    @cached_property
    def _modalities(self) -> dict[str, int]:
        return {path: modality for (_, modality), items in self._items.items() for path, _, _ in items}

    def _train_items(self) -> list[DatasetItem]:
        return [item for modality in MODALITIES for item in self._items.get((False, modality), [])]

    def _test(self, modality: int) -> list[DatasetItem]:
        return self._items.get((True, modality), [])

    def _require_layout(self) -> None:
        missing = [] if self.csv or self.pattern else [name for name in self.layout if not exists(self.folder / name)]
        if not exists(self.folder) or missing:
            problem = f"lacks {' and '.join(missing)}" if exists(self.folder) else "does not exist"
            raise DataError(
                f"'{self.folder.absolute()}' {problem}. Set DATASETS.OWN.ROOT to the folder that holds",
                "visible/<identity>/* and infrared/<identity>/*, or describe its images by a table (DATASETS.OWN.CSV)",
                f"or a pattern ({PATTERN}).",
            )
        if self.csv and not exists(self.table):
            raise DataError(f"DATASETS.OWN.CSV: '{self.csv}' does not exist, also not in '{self.folder}'")


def numbered(names: Iterable[str]) -> dict[str, int]:
    """Return a number for each name: the one that it is, if all are different numbers, else its place from 0 on."""
    ordered = sorted(names)
    if all(re.fullmatch("[0-9]{1,18}", name) for name in ordered):
        numbers = {name: int(name) for name in ordered}
        if len(set(numbers.values())) == len(numbers):
            return numbers
    return {name: number for number, name in enumerate(ordered)}


def _of_splits(images: list[OwnImage]) -> set[str]:
    """Return the identities whose split is `test`.

    Raises:
        DataError: an identity is in both parts, or an image is in none.
    """
    first: dict[str, OwnImage] = {}
    for image in images:
        if not image.split:
            raise DataError(f"{image.where} has no split, and others have; give every image one, or none")
        other = first.setdefault(image.identity, image)
        if other.split != image.split:
            raise DataError(
                f"{image.where}: identity '{image.identity}' is in '{image.split}', and in '{other.split}' by "
                f"{other.where}; an identity that is trained cannot be tested"
            )
    return {identity for identity, image in first.items() if image.split == "test"}


@functools.cache
def _warn_once(text: str) -> None:
    """Log a warning once in a process: a run builds its data sets several times."""
    logger.warning("%s", text)
