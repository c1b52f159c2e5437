"""Write a synthetic tree in the layout of SYSU-MM01."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vireid_plugins.data.batch import INFRARED, VISIBLE
from vireid_plugins.data.datasets.sysu_mm01 import CAMERAS, INFRARED_CAMERAS
from vireid_plugins.data.synthetic.sizes import SysuSize
from vireid_plugins.data.synthetic.tree import Shot, write_ids, write_tree

# Cameras 1 to 3 are indoors, 4 to 6 outdoors.
SCENES = ((1, 2, 3), (4, 5, 6))
TRIALS = 10


def write_sysu(folder: Path, size: SysuSize, seed: int = 0, workers: int | None = None) -> None:
    """Write images, identity lists, `rand_perm_cam.mat` and a manifest; see `write_tree`.

    Args:
        folder: the `SYSU-MM01` folder to create.
        size: size of the tree.
        seed: random seed.
        workers: processes; the number of processors by default.

    Raises:
        DataError: the folder contains something other than a synthetic tree.
    """
    people = size.train + size.val + size.test
    plan = partial(_plan, size)
    write_tree(folder, "SYSUMM01", size, seed, people, plan, partial(_finish, size=size, seed=seed), workers)


def _plan(size: SysuSize, identity: int, rng: np.random.Generator) -> list[Shot]:
    # Some people are seen only indoors or only outdoors: as in the real set, some indoor-search queries have no match.
    scenes = SCENES[: 2 if rng.random() < 0.65 else 1][:: 1 if rng.random() < 0.5 else -1]
    if len(scenes) == 1 and rng.random() < 0.7:
        scenes = SCENES[1:]
    return [
        Shot(f"cam{camera}/{identity:04d}/{number:04d}.jpg", camera, _modality(camera), camera, number)
        for camera in sorted(camera for scene in scenes for camera in scene)
        for number in range(1, size.images + 1)
    ]


def _modality(camera: int) -> int:
    return INFRARED if camera in INFRARED_CAMERAS else VISIBLE


def _finish(folder: Path, shots: dict[int, list[Shot]], size: SysuSize, seed: int) -> dict[str, Iterable[int]]:
    order = np.random.default_rng([seed, 4]).permutation(len(shots)) + 1
    parts = np.split(order, np.cumsum([size.train, size.val]))
    lists = {name: ids.tolist() for name, ids in zip(("train", "val", "test"), parts, strict=True)}
    for name, ids in (lists | {"available": order.tolist()}).items():
        write_ids(folder / "exp" / f"{name}_id.txt", ids)
    counts = np.zeros((len(shots), len(CAMERAS)), dtype=int)
    for identity, images in shots.items():
        for shot in images:
            counts[identity - 1, shot.camera - 1] += 1
    for camera in CAMERAS:
        # Cameras that saw nobody also have a folder.
        (folder / f"cam{camera}").mkdir(exist_ok=True)
    from scipy.io import savemat  # imported here because it takes a tenth of a second

    savemat(folder / "exp" / "rand_perm_cam.mat", {"rand_perm_cam": _permutations(counts, seed)})
    return lists


def _permutations(counts: Any, seed: int) -> Any:
    """Return random gallery draws in the official file's format: cell arrays over cameras and identities."""
    rng = np.random.default_rng([seed, 5])
    draws = np.empty((len(CAMERAS), 1), dtype=object)
    for camera in range(len(CAMERAS)):
        cells = np.empty((len(counts), 1), dtype=object)
        for row, images in enumerate(counts[:, camera]):
            rows = [rng.permutation(images) + 1 for _ in range(TRIALS)]
            cells[row, 0] = np.array(rows, dtype=np.uint8 if images < 256 else np.uint16).reshape(TRIALS, images)
        draws[camera, 0] = cells
    return draws
