"""RegDB-specific checks: identities shared by train and test lists, labels that contradict the folders."""

from collections import Counter
from pathlib import Path

from vireid_plugins.data.batch import INFRARED, VISIBLE
from vireid_plugins.data.datasets.base import CrossModalityDataset
from vireid_plugins.data.datasets.lists import read_labelled_paths
from vireid_plugins.data.datasets.regdb import FOLDERS, RegDB
from vireid_plugins.data.verify.finding import Finding


def readers(root: Path) -> list[CrossModalityDataset]:
    """Return the data sets that read the tree, one per split."""
    return [RegDB(root=str(root), split=split) for split in RegDB.splits]


def where(folder: Path, key: str) -> Path:
    """Return the list that a census key refers to."""
    subset, split, modality, *_ = key.split(" ")
    name = FOLDERS[INFRARED if modality == "infrared" else VISIBLE].lower()
    return folder / "idx" / f"{subset}_{name}_{split}.txt"


def _lists(dataset: RegDB) -> list[Finding]:
    """Return the problems of the four lists of a split."""
    findings = []
    identities: dict[str, set[int]] = {}
    labels: dict[tuple[str, int], int] = {}
    for subset in ("train", "test"):
        for modality in FOLDERS:
            file = where(
                dataset.folder, f"{subset} {dataset.split} {'infrared' if modality == INFRARED else 'visible'}"
            )
            items = dataset.items(subset, modality)
            findings += _uneven(file, Counter(identity for _, identity, _ in items))
            rows = read_labelled_paths(file) if items else []
            for (_, identity, _), (path, label) in zip(items, rows, strict=True):
                first_label = labels.setdefault((subset, identity), label)
                if first_label != label:
                    problem = f"'{path}' has label {label}, other images of its folder have {first_label}"
                    findings.append(Finding(str(file), problem))
            identities.setdefault(subset, set()).update(identity for _, identity, _ in items)
        findings += _labels(where(dataset.folder, f"{subset} {dataset.split} visible"), subset, labels)
    shared = sorted(identities["train"] & identities["test"])
    if shared:
        file = where(dataset.folder, f"test {dataset.split} visible")
        findings.append(Finding(str(file), f"contains training identities of split {dataset.split}: {shared}"))
    return findings


def _uneven(file: Path, images: Counter[int]) -> list[Finding]:
    usual = next((count for count, _ in Counter(images.values()).most_common(1)), 0)
    return [
        Finding(str(file), f"identity {identity} has {count} images, others have {usual}")
        for identity, count in sorted(images.items())
        if count != usual
    ]


def _labels(file: Path, subset: str, labels: dict[tuple[str, int], int]) -> list[Finding]:
    subset_labels = sorted(label for (name, _), label in labels.items() if name == subset)
    count = len(subset_labels)
    if subset_labels == list(range(count)):
        return []
    return [Finding(str(file), f"its {count} identities must be labeled 0 to {count - 1}, each label once")]


CHECKS = (_lists,)
