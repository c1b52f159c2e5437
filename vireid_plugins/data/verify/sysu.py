"""What only SYSU-MM01 can have wrong: numbering, gallery draws, identities in two lists."""

from collections.abc import Iterable
from itertools import combinations
from pathlib import Path

from vireid_plugins.data.datasets.base import CrossModalityDataset
from vireid_plugins.data.datasets.sysu_mm01 import CAMERAS, SYSUMM01, OfficialDraws
from vireid_plugins.data.verify.finding import Finding
from vireid_plugins.errors import DataError

LISTS = ("train", "val", "test")


def readers(root: Path) -> list[CrossModalityDataset]:
    """Return what reads the tree."""
    return [SYSUMM01(root=str(root))]


def where(folder: Path, key: str) -> Path:
    """Return the list, or the camera's folder, that a count is about."""
    name, _, *camera = key.split(" ")
    return folder / f"cam{camera[-1]}" if camera else folder / "exp" / f"{name}_id.txt"


def check(dataset: CrossModalityDataset) -> list[Finding]:
    """Return what is wrong with lists, numbering and draws."""
    assert isinstance(dataset, SYSUMM01)
    lists = {name: dataset.identities(name) for name in LISTS}
    return [
        *_overlaps(dataset.folder, lists),
        *(found for name, identities in lists.items() for found in _absent(dataset, name, identities)),
        *_gaps(dataset, [identity for identities in lists.values() for identity in identities]),
        *_draws(dataset, lists["test"]),
    ]


def _overlaps(folder: Path, lists: dict[str, list[int]]) -> list[Finding]:
    found = []
    for first, second in combinations(lists, 2):
        shared = sorted(set(lists[first]) & set(lists[second]))
        if shared:
            found.append(Finding(str(folder / "exp" / f"{second}_id.txt"), f"shares {shared} with {first}_id.txt"))
    return found


def _absent(dataset: SYSUMM01, name: str, identities: Iterable[int]) -> list[Finding]:
    file = str(dataset.folder / "exp" / f"{name}_id.txt")
    return [
        Finding(file, f"identity {identity} has no image in any camera")
        for identity in identities
        if not any(dataset.images(identity, camera) for camera in CAMERAS)
    ]


def _gaps(dataset: SYSUMM01, identities: Iterable[int]) -> list[Finding]:
    found = []
    for identity in identities:
        for camera in CAMERAS:
            images = dataset.images(identity, camera)
            home = f"cam{camera}/{identity:04d}"
            wanted = [f"{home}/{number:04d}.jpg" for number in range(1, len(images) + 1)]
            wrong = next((name for name in wanted if name not in set(images)), "")
            if wrong:
                problem = f"{len(images)} images are not numbered without gaps: there is no {Path(wrong).name}"
                found.append(Finding(str(dataset.folder / home), problem))
    return found


def _draws(dataset: SYSUMM01, identities: Iterable[int]) -> list[Finding]:
    try:
        draws = OfficialDraws(dataset.folder)
    except DataError as error:
        return [Finding(str(dataset.folder / "exp" / "rand_perm_cam.mat"), str(error))]
    found = []
    for identity in identities:
        for camera in dataset.gallery_cameras:
            images = dataset.images(identity, camera)
            try:
                draws.rows(camera, identity, len(images))
            except DataError as error:
                found.append(Finding(str(draws.file), str(error)))
    return found
