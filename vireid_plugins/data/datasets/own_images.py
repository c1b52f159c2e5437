"""The images of somebody's own folder: from subfolders, or from names that a pattern reads."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from vireid_plugins.data.batch import INFRARED, VISIBLE
from vireid_plugins.data.datasets.base import MODALITIES
from vireid_plugins.data.datasets.folders import image_names
from vireid_plugins.errors import ConfigError, DataError
from vireid_plugins.io.system_files import passed_over
from vireid_plugins.io.walk import folders_below

PATTERN = "DATASETS.OWN.PATTERN"
GROUPS, OPTIONAL_GROUPS = ("identity", "modality"), ("camera", "split")
# What people call the two modalities and the two parts of a split, in lower case.
MODALITY_WORDS = {
    **dict.fromkeys(("visible", "vis", "rgb", "color", "colour", "day", "v", "0"), VISIBLE),
    **dict.fromkeys(("infrared", "ir", "nir", "tir", "thermal", "night", "i", "t", "1"), INFRARED),
}
SPLIT_WORDS = {"train": "train", "test": "test", "query": "test", "gallery": "test"}


class OwnImage(NamedTuple):
    """An image and what is known about it.

    Attributes:
        path: relative to the folder, with forward slashes.
        identity: any text.
        camera: any text; empty if it is not known.
        modality: 0 visible, 1 infrared.
        split: `train`, `test`, or empty if it is not given.
        where: the file, or the file and line, that says so, for messages.
    """

    path: str
    identity: str
    camera: str
    modality: int
    split: str
    where: str


class Unmatched(NamedTuple):
    """An image whose name says nothing, and what it lacks."""

    path: str
    problem: str


def modality_of(word: str) -> int | None:
    """Return the modality that a word names, or None."""
    return MODALITY_WORDS.get(word.strip().lower())


def in_subfolders(folder: Path) -> list[OwnImage]:
    """Return the images of `visible/<identity>/*` and `infrared/<identity>/*`, sorted.

    Raises:
        DataError: a folder cannot be read, or two images differ only in their suffix.
    """
    return [
        OwnImage(f"{name}/{identity}/{image}", identity, "", modality, "", str(folder / name / identity))
        for modality, name in MODALITIES.items()
        for identity in subfolders(folder / name)
        for image in image_names(folder / name / identity)
    ]


def by_pattern(folder: Path, pattern: str) -> tuple[list[OwnImage], list[Unmatched]]:
    """Return the images anywhere below a folder whose paths match a pattern as a whole, and the others.

    Args:
        folder: the folder.
        pattern: see `compiled`; it is compared with paths below the folder, with forward slashes.

    Raises:
        ConfigError: see `compiled`.
        DataError: a folder cannot be read, or two images differ only in their suffix.
    """
    regex = compiled(pattern)
    images: list[OwnImage] = []
    others: list[Unmatched] = []
    for path in _below(folder):
        match = regex.fullmatch(path)
        groups = {name: text or "" for name, text in match.groupdict().items()} if match else {}
        modality, split = modality_of(groups.get("modality", "")), groups.get("split", "").lower()
        if not match:
            others.append(Unmatched(path, f"does not match {PATTERN}"))
        elif not groups["identity"]:
            others.append(Unmatched(path, f"matches {PATTERN} with an empty identity"))
        elif modality is None:
            known = ", ".join(MODALITY_WORDS)
            others.append(Unmatched(path, f"has the modality '{groups['modality']}'; known are {known}"))
        elif split and split not in SPLIT_WORDS:
            others.append(Unmatched(path, f"has the split '{split}'; known are {', '.join(SPLIT_WORDS)}"))
        else:
            where = str(folder / path)
            known_split = SPLIT_WORDS.get(split, "")
            images.append(OwnImage(path, groups["identity"], groups.get("camera", ""), modality, known_split, where))
    return images, others


def compiled(pattern: str) -> "re.Pattern[str]":
    """Return a regular expression with the groups `identity` and `modality`, and perhaps `camera` and `split`.

    Raises:
        ConfigError: it is no regular expression, or has other groups.
    """
    try:
        regex = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise ConfigError(f"{PATTERN}: '{pattern}' is no regular expression: {error}") from None
    missing = [name for name in GROUPS if name not in regex.groupindex]
    unknown = sorted(set(regex.groupindex) - {*GROUPS, *OPTIONAL_GROUPS})
    if missing or unknown:
        problem = f"lacks the group {' and '.join(missing)}" if missing else f"has the unknown group {unknown[0]}"
        raise ConfigError(
            f"{PATTERN}: '{pattern}' {problem}; it needs (?P<identity>...) and (?P<modality>...), and may have "
            "(?P<camera>...) and (?P<split>...)"
        )
    return regex


def subfolders(folder: Path) -> list[str]:
    """Return the sorted names of the folders in a folder.

    Raises:
        DataError: it cannot be read.
    """
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir() and not passed_over(entry.name))
    except OSError as error:
        raise DataError(f"folder '{folder}' cannot be read: {error.strerror}") from None


def _below(folder: Path) -> Iterator[str]:
    """Yield the paths of all images below a folder."""
    try:
        for place in folders_below(folder, passed_over):
            yield from ((place / name).relative_to(folder).as_posix() for name in image_names(place))
    except OSError as error:
        raise DataError(f"folder '{error.filename}' cannot be read: {error.strerror}") from None
