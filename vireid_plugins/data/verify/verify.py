"""Checks shared by all data sets: counts, both modalities for every identity, images that do not decode."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from vireid_plugins.data.batch import INFRARED, VISIBLE
from vireid_plugins.data.datasets.base import MODALITIES, Counts, CrossModalityDataset, DatasetItem
from vireid_plugins.data.decode import read_image
from vireid_plugins.data.synthetic import read_manifest
from vireid_plugins.data.verify import llcm, own, regdb, sysu
from vireid_plugins.data.verify.finding import Finding
from vireid_plugins.data.verify.published import PUBLISHED
from vireid_plugins.errors import DataError
from vireid_plugins.processes import in_processes


class LayoutCheck(NamedTuple):
    """The layout-specific part of a check.

    Attributes:
        readers: returns the data sets that read the tree, one per split; only images of one's own have options.
        checks: functions that return findings of the layout-specific checks.
        where: returns the file or folder that a census key refers to.
    """

    readers: Callable[..., list[CrossModalityDataset]]
    checks: Sequence[Callable[[Any], list[Finding]]]
    where: Callable[[Path, str], Path]


LAYOUT_CHECKS: dict[str, LayoutCheck] = {
    "SYSUMM01": LayoutCheck(sysu.readers, sysu.CHECKS, sysu.where),
    "RegDB": LayoutCheck(regdb.readers, regdb.CHECKS, regdb.where),
    "LLCM": LayoutCheck(llcm.readers, llcm.CHECKS, llcm.where),
    "OwnFolder": LayoutCheck(own.readers, own.CHECKS, own.where),
}


NO_OPTIONS: Mapping[str, Any] = {}


@dataclass(frozen=True)
class Report:
    """The result of a check.

    Attributes:
        findings: in the order of the checks.
        census: the counts on disk.
        expected: the counts that they were compared with.
        source: source of the expected counts.
        images: number of images decoded.
    """

    findings: list[Finding]
    census: dict[str, Counts]
    expected: Mapping[str, Counts]
    source: str
    images: int


def verify(name: str, root: Path, workers: int | None = None, options: Mapping[str, Any] = NO_OPTIONS) -> Report:
    """Check a data set on disk; a finding in one file stops no other check.

    Args:
        name: a key of `LAYOUT_CHECKS`.
        root: the data root, or the set's folder itself.
        workers: processes that decode images; the number of processors by default.
        options: of `OwnFolder`, its constructor's arguments.

    Raises:
        DataError: the data set does not exist.
    """
    layout = LAYOUT_CHECKS[name]
    readers = layout.readers(root, **options)
    folder = readers[0].folder
    findings: list[Finding] = []
    census: dict[str, Counts] = {}
    paths: dict[str, None] = {}
    for dataset in readers:
        # Whatever is wrong with one file, the rest is checked.
        dataset.problems = []
        for check in layout.checks:
            findings += dataset.tolerated(partial(check, dataset))
        for subset, read in dataset.subset_readers().items():
            items = dataset.tolerated(read)
            census |= dataset.counted({subset: items})
            findings += _single_modality(dataset, items, layout.where(folder, f"{subset} visible"))
            paths |= dict.fromkeys(path for path, _, _ in items)
        findings += [Finding(str(folder), str(problem)) for problem in dataset.problems]
    # Several splits may meet the same file.
    findings = list(dict.fromkeys(findings))
    manifest = read_manifest(folder)
    expected = PUBLISHED.get(name, {}) if manifest is None else manifest["census"]
    exact = manifest is not None
    findings += _differences(census, expected, exact, lambda key: layout.where(folder, key))
    findings += _broken(list(paths), workers)
    source = "the manifest of this synthetic tree" if manifest is not None else "the published counts"
    if manifest is None and name not in PUBLISHED:
        source = "nothing, since these are images of your own"
    return Report(findings, census, expected, source, len(paths))


def _single_modality(dataset: CrossModalityDataset, items: Iterable[DatasetItem], where: Path) -> list[Finding]:
    modalities_of: dict[int, set[int]] = {}
    for item in items:
        modalities_of.setdefault(item[1], set()).add(dataset.modality(item))
    return [
        Finding(str(where), f"identity {identity} has no {MODALITIES[VISIBLE + INFRARED - min(modalities)]} image")
        for identity, modalities in sorted(modalities_of.items())
        if len(modalities) == 1
    ]


def _differences(
    census: Mapping[str, Counts], expected: Mapping[str, Counts], exact: bool, where: Callable[[str], Path]
) -> list[Finding]:
    keys = [*expected, *(key for key in census if exact and key not in expected)]
    return [
        Finding(str(where(key)), f"{key}: {census.get(key, {}).get(field, 0)} {field}, expected {count}")
        for key in keys
        for field, count in (expected.get(key) or {"images": 0}).items()
        if census.get(key, {}).get(field, 0) != count
    ]


def _broken(paths: Sequence[str], workers: int | None) -> list[Finding]:
    problems = in_processes(_problem, paths, workers or os.cpu_count() or 1, chunk=64)
    progress = tqdm(problems, total=len(paths), unit="image", desc="decoding", disable=None)
    return [Finding(path, problem) for path, problem in zip(paths, progress, strict=True) if problem]


def _problem(path: str) -> str:
    """Return the problem of an image file, or an empty string if it decodes."""
    try:
        os.stat(path)  # noqa: PTH116  much faster for many
    except FileNotFoundError:
        return "is listed but does not exist"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    try:
        read_image(path, (8, 8), "nearest")
    except DataError as error:
        return str(error.args[0]).removeprefix(f"image '{path}' ")
    return ""
