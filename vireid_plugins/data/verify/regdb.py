"""What only RegDB can have wrong: splits that share identities, labels that do not follow the folders."""

from collections import Counter
from pathlib import Path

from vireid_plugins.data.batch import INFRARED, VISIBLE
from vireid_plugins.data.datasets.base import CrossModalityDataset
from vireid_plugins.data.datasets.lists import read_labelled_paths
from vireid_plugins.data.datasets.regdb import FOLDERS, RegDB
from vireid_plugins.data.verify.finding import Finding


def readers(root: Path) -> list[CrossModalityDataset]:
    """Return what reads the tree, one data set a split."""
    return [RegDB(root=str(root), split=split) for split in RegDB.splits]


def where(folder: Path, key: str) -> Path:
    """Return the list that a count is about."""
    subset, split, modality, *_ = key.split(" ")
    name = FOLDERS[INFRARED if modality == "infrared" else VISIBLE].lower()
    return folder / "idx" / f"{subset}_{name}_{split}.txt"


def check(dataset: CrossModalityDataset) -> list[Finding]:
    """Return what is wrong with the four lists of a split."""
    assert isinstance(dataset, RegDB)
    found = []
    identities: dict[str, set[int]] = {}
    labels: dict[tuple[str, int], int] = {}
    for subset in ("train", "test"):
        for modality in FOLDERS:
            file = where(
                dataset.folder, f"{subset} {dataset.split} {'infrared' if modality == INFRARED else 'visible'}"
            )
            items = dataset.items(subset, modality)
            found += _uneven(file, Counter(identity for _, identity, _ in items))
            for (_, identity, _), (path, label) in zip(items, read_labelled_paths(file), strict=True):
                known = labels.setdefault((subset, identity), label)
                if known != label:
                    found.append(Finding(str(file), f"'{path}' has label {label}, others of its folder {known}"))
            identities.setdefault(subset, set()).update(identity for _, identity, _ in items)
        found += _labels(where(dataset.folder, f"{subset} {dataset.split} visible"), subset, labels)
    shared = sorted(identities["train"] & identities["test"])
    if shared:
        file = where(dataset.folder, f"test {dataset.split} visible")
        found.append(Finding(str(file), f"tests identities that split {dataset.split} trains on: {shared}"))
    return found


def _uneven(file: Path, images: Counter[int]) -> list[Finding]:
    usual, _ = Counter(images.values()).most_common(1)[0]
    return [
        Finding(str(file), f"identity {identity} has {count} images, the others {usual}")
        for identity, count in sorted(images.items())
        if count != usual
    ]


def _labels(file: Path, subset: str, labels: dict[tuple[str, int], int]) -> list[Finding]:
    mine = {identity: label for (name, identity), label in labels.items() if name == subset}
    if sorted(mine.values()) == list(range(len(mine))):
        return []
    return [Finding(str(file), f"{len(mine)} identities must have the labels 0 to {len(mine) - 1}, each once")]
