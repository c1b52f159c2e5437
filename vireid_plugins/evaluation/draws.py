"""The two gallery draws of SYSU-MM01 in use, reproduced from file names alone."""

import random
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import loadmat

from vireid_plugins.data.datasets import SYSUMM01
from vireid_plugins.errors import DataError
from vireid_plugins.evaluation.protocols import Protocol

GALLERY_CAMERAS = {"all": (1, 2, 4, 5), "indoor": (1, 2)}


def sysu_galleries(dataset: SYSUMM01, protocol: Protocol) -> list[list[str]]:
    """Return, for each trial, the gallery's paths relative to the set's folder.

    Raises:
        DataError: the official draws are missing, or do not fit the images on disk.
    """
    cameras = GALLERY_CAMERAS[protocol.mode]
    if protocol.draw == "agw":
        return [_agw(dataset, cameras, trial) for trial in range(protocol.trials)]
    permutations = load_permutations(dataset.folder / "exp" / "rand_perm_cam.mat")
    return [_official(dataset, permutations, cameras, trial, protocol.shots) for trial in range(protocol.trials)]


def load_permutations(file: Path) -> Any:
    """Read `rand_perm_cam.mat`: an object array over cameras of object arrays over identities of (10, n) permutations.

    Raises:
        DataError: the file is missing or holds something else.
    """
    if not file.is_file():
        raise DataError(
            f"SYSU-MM01: the official gallery draws '{file}' are missing. They come from evaluation/data_split/ of the "
            "repository wuancong/SYSU-MM01; without them set TEST.PROTOCOLS to the sysu/agw/... protocols"
        )
    try:
        return loadmat(file)["rand_perm_cam"]
    except (KeyError, ValueError, OSError, NotImplementedError) as error:
        raise DataError(f"SYSU-MM01: '{file}' is not the official rand_perm_cam.mat: {error}") from None


def _agw(dataset: SYSUMM01, cameras: tuple[int, ...], trial: int) -> list[str]:
    # One generator through the whole set, as `random.seed(trial)` in the reference loaders, but not the global one.
    generator = random.Random(trial)
    listings = (dataset.images(identity, camera) for identity in dataset.test_ids for camera in cameras)
    return [generator.choice(images) for images in listings if images]


def _official(dataset: SYSUMM01, permutations: Any, cameras: tuple[int, ...], trial: int, shots: int) -> list[str]:
    gallery = []
    for camera in cameras:
        for identity in dataset.test_ids:
            images = dataset.images(identity, camera)
            if images:
                rows = _rows(permutations, camera, identity, len(images), dataset.folder)
                gallery += [images[index - 1] for index in rows[trial][:shots]]
    return gallery


def _rows(permutations: Any, camera: int, identity: int, count: int, folder: Path) -> Any:
    """Return the (10, n) permutations of one identity in one camera, checked against the `count` images on disk."""
    where = f"SYSU-MM01: '{folder / f'cam{camera}' / f'{identity:04d}'}' has {count} images"
    try:
        rows = permutations[camera - 1, 0][identity - 1, 0]
    except IndexError:
        raise DataError(f"{where}, but rand_perm_cam.mat does not know the identity") from None
    if rows.shape[1] != count or not np.array_equal(np.sort(rows[0]), np.arange(1, count + 1)):
        raise DataError(
            f"{where}, but rand_perm_cam.mat permutes {rows.shape[1]}: files are missing, added or not numbered "
            "without gaps"
        )
    return rows
