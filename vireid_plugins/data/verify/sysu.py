"""SYSU-MM01-specific checks: image numbering, gallery draws, identities in two lists."""

from collections.abc import Iterable
from itertools import combinations
from pathlib import Path

from vireid_plugins.data.datasets.base import CrossModalityDataset
from vireid_plugins.data.datasets.sysu_mm01 import CAMERAS, SYSUMM01, OfficialDraws
from vireid_plugins.data.verify.finding import Finding
from vireid_plugins.errors import DataError

LISTS = ("train", "val", "test")


def readers(root: Path) -> list[CrossModalityDataset]:
    """Return the data set that reads the tree."""
    return [SYSUMM01(root=str(root))]


def where(folder: Path, key: str) -> Path:
    """Return the list or camera folder that a census key refers to."""
    name, _, *camera = key.split(" ")
    return folder / f"cam{camera[-1]}" if camera else folder / "exp" / f"{name}_id.txt"


def check(dataset: CrossModalityDataset) -> list[Finding]:
    """Return the problems of lists, numbering and draws."""
    assert isinstance(dataset, SYSUMM01)
    lists = {name: dataset.identities(name) for name in LISTS}
    return [
        *_overlaps(dataset.folder, lists),
        *(finding for name, identities in lists.items() for finding in _absent(dataset, name, identities)),
        *_gaps(dataset, [identity for identities in lists.values() for identity in identities]),
        *_draws(dataset, lists["test"]),
    ]


def _overlaps(folder: Path, lists: dict[str, list[int]]) -> list[Finding]:
    findings = []
    for first, second in combinations(lists, 2):
        shared = sorted(set(lists[first]) & set(lists[second]))
        if shared:
            findings.append(Finding(str(folder / "exp" / f"{second}_id.txt"), f"shares {shared} with {first}_id.txt"))
    return findings


def _absent(dataset: SYSUMM01, name: str, identities: Iterable[int]) -> list[Finding]:
    file = str(dataset.folder / "exp" / f"{name}_id.txt")
    return [
        Finding(file, f"identity {identity} has no image in any camera")
        for identity in identities
        if not any(dataset.images(identity, camera) for camera in CAMERAS)
    ]


def _gaps(dataset: SYSUMM01, identities: Iterable[int]) -> list[Finding]:
    findings = []
    for identity in identities:
        for camera in CAMERAS:
            images = dataset.images(identity, camera)
            folder = f"cam{camera}/{identity:04d}"
            expected = [f"{folder}/{number:04d}.jpg" for number in range(1, len(images) + 1)]
            missing = next((name for name in expected if name not in set(images)), "")
            if missing:
                problem = f"the numbering of its {len(images)} images has gaps: {Path(missing).name} is missing"
                findings.append(Finding(str(dataset.folder / folder), problem))
    return findings


def _draws(dataset: SYSUMM01, identities: Iterable[int]) -> list[Finding]:
    try:
        draws = OfficialDraws(dataset.folder)
    except DataError as error:
        return [Finding(str(dataset.folder / "exp" / "rand_perm_cam.mat"), str(error))]
    findings = []
    for identity in identities:
        for camera in dataset.gallery_cameras:
            images = dataset.images(identity, camera)
            try:
                draws.rows(camera, identity, len(images))
            except DataError as error:
                findings.append(Finding(str(draws.file), str(error)))
    return findings
