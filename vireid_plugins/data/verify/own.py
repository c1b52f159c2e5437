"""Checks of images of one's own: identities that lack a modality, images that are left out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from vireid_plugins.data.datasets.base import MODALITIES, CrossModalityDataset
from vireid_plugins.data.datasets.folders import image_names
from vireid_plugins.data.datasets.own_folder import OwnFolder
from vireid_plugins.data.verify.finding import Finding


def readers(root: Path, **options: Any) -> list[CrossModalityDataset]:
    """Return the data set that reads the folder."""
    return [OwnFolder(str(root), **{**options, "place": str(root)})]


def where(folder: Path, key: str) -> Path:
    """Return the folder: its counts are compared with none."""
    return folder


def _gaps(dataset: OwnFolder) -> list[Finding]:
    place = str(dataset.table if dataset.csv else dataset.folder)
    return [
        Finding(place, f"identity {identity} has no {modality} image and is left out")
        for identity, modality in dataset.gaps.items()
    ]


def _unmatched(dataset: OwnFolder) -> list[Finding]:
    of_problem: dict[str, list[str]] = {}
    for path, problem in dataset.unmatched:
        of_problem.setdefault(problem, []).append(path)
    return [
        Finding(str(dataset.folder / paths[0]), f"{problem} and is left out, like {len(paths) - 1} others")
        for problem, paths in of_problem.items()
    ]


def _loose(dataset: OwnFolder) -> list[Finding]:
    """Find images that lie beside the folders of the identities, which nobody reads."""
    if dataset.csv or dataset.pattern:
        return []
    return [
        Finding(str(dataset.folder / name / image), "is in no folder of an identity and is left out")
        for name in MODALITIES.values()
        for image in image_names(dataset.folder / name)
    ]


CHECKS: list[Callable[[Any], list[Finding]]] = [_gaps, _unmatched, _loose]
