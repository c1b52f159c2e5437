"""LLCM-specific checks: file names that contradict their folders, lists that contradict the test folders."""

from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from vireid_plugins.data.batch import INFRARED, VISIBLE
from vireid_plugins.data.datasets.base import CrossModalityDataset
from vireid_plugins.data.datasets.folders import without_suffix
from vireid_plugins.data.datasets.lists import read_labelled_paths
from vireid_plugins.data.datasets.llcm import LLCM, SUFFIX, parse
from vireid_plugins.data.verify.finding import Finding


def readers(root: Path) -> list[CrossModalityDataset]:
    """Return the data set that reads the tree."""
    return [LLCM(root=str(root))]


def where(folder: Path, key: str) -> Path:
    """Return the list or camera folder that a census key refers to."""
    subset, modality, *camera = key.split(" ")
    suffix = SUFFIX[INFRARED if modality == "infrared" else VISIBLE]
    if subset == "test" and camera:
        return folder / f"test_{suffix}" / f"cam{camera[-1]}"
    return folder / "idx" / f"{subset}_{suffix}.txt"


def _shared(dataset: LLCM) -> list[Finding]:
    shared = sorted({identity for _, identity, _ in dataset.train} & set(dataset.test_ids))
    file = str(dataset.folder / "idx" / "test_id.txt")
    return [Finding(file, f"contains training identities: {shared}")] if shared else []


def _absent(dataset: LLCM) -> list[Finding]:
    present = {identity for modality in SUFFIX for identity, _, _ in dataset.listings(modality)}
    return [
        Finding(str(dataset.folder / "idx" / "test_id.txt"), f"identity {identity} has no image in any test folder")
        for identity in dataset.test_ids
        if identity not in present
    ]


def _folders(dataset: LLCM) -> list[Finding]:
    findings = []
    for modality in SUFFIX:
        for identity, camera, images in dataset.listings(modality):
            for path in images:
                if parse(PurePosixPath(path).name, path) != (identity, camera, modality):
                    problem = "identity, camera or modality in the name does not match the folder"
                    findings.append(Finding(str(dataset.folder / path), problem))
    return findings


def _training_list(modality: int, dataset: LLCM) -> list[Finding]:
    findings = []
    file = dataset.folder / "idx" / f"train_{SUFFIX[modality]}.txt"
    labels: dict[int, int] = {}
    for path, label in read_labelled_paths(file):
        name = PurePosixPath(path).name
        named = dataset.tolerated(partial(_parsed, name, f"{file}: {path}"))
        if not named:
            continue
        identity, _, named_modality = named[0]
        if named_modality != modality or PurePosixPath(path).parent.name != f"{identity:04d}":
            problem = "identity or modality in the name does not match the list and folder"
            findings.append(Finding(str(dataset.folder / path), problem))
        if labels.setdefault(identity, label) != label:
            problem = f"'{path}' has label {label}, other images of its identity have {labels[identity]}"
            findings.append(Finding(str(file), problem))
    return findings


def _parsed(name: str, where: str) -> list[tuple[int, int, int]]:
    return [parse(name, where)]


def _unlisted(modality: int, dataset: LLCM) -> list[Finding]:
    """Compare a test list, which the loaders do not read, with the test folders, which they do."""
    file = dataset.folder / "idx" / f"test_{SUFFIX[modality]}.txt"
    if not file.is_file():
        return [Finding(str(file), "does not exist; only the test folders are read")]
    listed = {without_suffix(PurePosixPath(path).name): path for path, _ in read_labelled_paths(file)}
    present = {without_suffix(PurePosixPath(p).name): p for _, _, images in dataset.listings(modality) for p in images}
    return [
        *(
            Finding(str(file), f"lists '{PurePosixPath(listed[name]).name}', which is in no test folder")
            for name in sorted(set(listed) - set(present))
        ),
        *(
            Finding(str(dataset.folder / present[name]), f"is not in {file.name}")
            for name in sorted(set(present) - set(listed))
        ),
    ]


CHECKS: list[Callable[[Any], list[Finding]]] = [
    _folders,
    *(partial(_training_list, modality) for modality in SUFFIX),
    _shared,
    *(partial(_unlisted, modality) for modality in SUFFIX),
    _absent,
]
