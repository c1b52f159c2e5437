"""LLCM-specific checks: file names that contradict their folders, lists that contradict the test folders."""

from pathlib import Path, PurePosixPath

from vireid_plugins.data.batch import INFRARED, VISIBLE
from vireid_plugins.data.datasets.base import CrossModalityDataset
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


def check(dataset: CrossModalityDataset) -> list[Finding]:
    """Return the problems of names, lists and folders."""
    assert isinstance(dataset, LLCM)
    findings = _contradictions(dataset)
    trained = {identity for _, identity, _ in dataset.train}
    shared = sorted(trained & set(dataset.test_ids))
    if shared:
        findings.append(Finding(str(dataset.folder / "idx" / "test_id.txt"), f"contains training identities: {shared}"))
    for modality in SUFFIX:
        findings += _unlisted(dataset, modality)
    present = {identity for modality in SUFFIX for identity, _, _ in dataset.listings(modality)}
    findings += [
        Finding(str(dataset.folder / "idx" / "test_id.txt"), f"identity {identity} has no image in any test folder")
        for identity in dataset.test_ids
        if identity not in present
    ]
    return findings


def _contradictions(dataset: LLCM) -> list[Finding]:
    findings = []
    for modality in SUFFIX:
        for identity, camera, images in dataset.listings(modality):
            for path in images:
                if parse(PurePosixPath(path).name, path) != (identity, camera, modality):
                    problem = "identity, camera or modality in the name does not match the folder"
                    findings.append(Finding(str(dataset.folder / path), problem))
        file = dataset.folder / "idx" / f"train_{SUFFIX[modality]}.txt"
        labels: dict[int, int] = {}
        for path, label in read_labelled_paths(file):
            identity, _, named_modality = parse(PurePosixPath(path).name, f"{file}: {path}")
            if named_modality != modality or PurePosixPath(path).parent.name != f"{identity:04d}":
                problem = "identity or modality in the name does not match the list and folder"
                findings.append(Finding(str(dataset.folder / path), problem))
            if labels.setdefault(identity, label) != label:
                problem = f"'{path}' has label {label}, other images of its identity have {labels[identity]}"
                findings.append(Finding(str(file), problem))
    return findings


def _unlisted(dataset: LLCM, modality: int) -> list[Finding]:
    """Compare a test list, which the loaders do not read, with the test folders, which they do."""
    file = dataset.folder / "idx" / f"test_{SUFFIX[modality]}.txt"
    if not file.is_file():
        return [Finding(str(file), "does not exist; only the test folders are read")]
    listed = {PurePosixPath(path).name for path, _ in read_labelled_paths(file)}
    present = {PurePosixPath(p).name: p for _, _, images in dataset.listings(modality) for p in images}
    return [
        *(Finding(str(file), f"lists '{name}', which is in no test folder") for name in sorted(listed - set(present))),
        *(Finding(str(dataset.folder / present[n]), f"is not in {file.name}") for n in sorted(set(present) - listed)),
    ]
