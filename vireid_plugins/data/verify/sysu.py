"""SYSU-MM01-specific checks: image numbering, gallery draws, identities in two lists."""

from itertools import combinations
from pathlib import Path

from vireid_plugins.data.datasets.base import CrossModalityDataset
from vireid_plugins.data.datasets.folders import without_suffix
from vireid_plugins.data.datasets.sysu_draws import OfficialDraws
from vireid_plugins.data.datasets.sysu_mm01 import CAMERAS, SYSUMM01
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


def _overlaps(dataset: SYSUMM01) -> list[Finding]:
    lists = {name: dataset.identities(name) for name in LISTS}
    findings = []
    for first, second in combinations(lists, 2):
        shared = sorted(set(lists[first]) & set(lists[second]))
        if shared:
            file = dataset.folder / "exp" / f"{second}_id.txt"
            findings.append(Finding(str(file), f"shares {shared} with {first}_id.txt"))
    return findings


def _absent(dataset: SYSUMM01) -> list[Finding]:
    return [
        Finding(str(dataset.folder / "exp" / f"{name}_id.txt"), f"identity {identity} has no image in any camera")
        for name in LISTS
        for identity in dataset.identities(name)
        if not any(dataset.images(identity, camera) for camera in CAMERAS)
    ]


def _gaps(dataset: SYSUMM01) -> list[Finding]:
    findings = []
    for identity in (identity for name in LISTS for identity in dataset.identities(name)):
        for camera in CAMERAS:
            images = dataset.images(identity, camera)
            folder = f"cam{camera}/{identity:04d}"
            present = {without_suffix(path) for path in images}
            expected = [f"{folder}/{number:04d}" for number in range(1, len(images) + 1)]
            missing = next((name for name in expected if name not in present), "")
            if missing:
                file = Path(missing).name + Path(images[0]).suffix
                problem = f"the numbering of its {len(images)} images has gaps: {file} is missing"
                findings.append(Finding(str(dataset.folder / folder), problem))
    return findings


def _draws(dataset: SYSUMM01) -> list[Finding]:
    try:
        draws = OfficialDraws(dataset.folder)
    except DataError as error:
        return [Finding(str(dataset.folder / "exp" / "rand_perm_cam.mat"), str(error))]
    findings = []
    for identity in dataset.test_ids:
        for camera in CAMERAS:
            try:
                draws.rows(camera, identity, len(dataset.images(identity, camera)), trials=10)
            except DataError as error:
                findings.append(Finding(str(draws.file), str(error)))
    return findings


CHECKS = (_overlaps, _absent, _gaps, _draws)
