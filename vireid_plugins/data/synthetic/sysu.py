"""Writes a synthetic tree in the layout of SYSU-MM01."""

import json
import os
import shutil
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import savemat
from tqdm import tqdm

from vireid_plugins.data.datasets.sysu_mm01 import INFRARED_CAMERAS
from vireid_plugins.data.synthetic.camera import Camera, draw_camera, photograph
from vireid_plugins.data.synthetic.person import draw_person
from vireid_plugins.errors import DataError

CAMERAS = range(1, 7)
# Cameras 1 to 3 stand indoors, 4 to 6 outdoors, as in the real set.
PLACES = ((1, 2, 3), (4, 5, 6))
TRIALS = 10
MANIFEST = "synthetic.json"


@dataclass(frozen=True)
class SysuSize:
    """How large a tree is. The real one has 296, 99 and 96 identities and about 20 images a camera.

    Attributes:
        train: identities of train_id.txt.
        val: identities of val_id.txt.
        test: identities of test_id.txt.
        images: images of an identity in a camera.
        height: of an image, pixels.
        width: of an image, pixels.
    """

    train: int = 296
    val: int = 99
    test: int = 96
    images: int = 20
    height: int = 144
    width: int = 64


def write_sysu(folder: Path, size: SysuSize, seed: int = 0, workers: int | None = None) -> None:
    """Write images, identity lists, `rand_perm_cam.mat` and a manifest. A synthetic tree that is there is replaced.

    The same size and seed give the same files, whatever the number of workers.

    Args:
        folder: the `SYSU-MM01` folder to make.
        size: how large.
        seed: of everything drawn.
        workers: processes; the number of processors by default.

    Raises:
        DataError: the folder holds something that is not a synthetic tree.
    """
    if folder.exists() and any(folder.iterdir()) and not (folder / MANIFEST).is_file():
        raise DataError(f"'{folder}' is not empty and not a synthetic tree: nothing is written; choose another --root")
    if folder.exists():
        shutil.rmtree(folder)
    (folder / "exp").mkdir(parents=True)
    total = size.train + size.val + size.test
    # Written first, so that an interrupted tree can be written again.
    (folder / MANIFEST).write_text(json.dumps({"complete": False}))
    counts = np.zeros((total, len(CAMERAS)), dtype=int)
    work = partial(_write_person, folder, size, seed)
    with ProcessPoolExecutor(workers or os.cpu_count()) as pool:
        progress = tqdm(pool.map(work, range(1, total + 1), chunksize=4), total=total, unit="id", disable=None)
        for row, images in enumerate(progress):
            counts[row] = images
    _write_lists(folder / "exp", size, seed)
    savemat(folder / "exp" / "rand_perm_cam.mat", {"rand_perm_cam": _permutations(counts, seed)})
    manifest = {
        "complete": True,
        "layout": "SYSU-MM01",
        "seed": seed,
        "size": asdict(size),
        "images_per_camera": counts.sum(0).tolist(),
        "images": int(counts.sum()),
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")


@cache
def _cameras(seed: int, height: int, width: int) -> dict[int, Camera]:
    return {
        c: draw_camera(np.random.default_rng([seed, 1, c]), c in INFRARED_CAMERAS, (height, width)) for c in CAMERAS
    }


def _write_person(folder: Path, size: SysuSize, seed: int, identity: int) -> list[int]:
    """Write all images of one identity and return their number in each camera."""
    rng = np.random.default_rng([seed, 2, identity])
    person = draw_person(rng)
    # Some are seen in one place only, so that indoor search has queries without a match, as the real set has.
    places = PLACES[: 2 if rng.random() < 0.65 else 1][:: 1 if rng.random() < 0.5 else -1]
    if len(places) == 1 and rng.random() < 0.7:
        places = PLACES[1:]
    seen = {camera for place in places for camera in place}
    cameras = _cameras(seed, size.height, size.width)
    counts = []
    for camera in CAMERAS:
        counts.append(size.images if camera in seen else 0)
        home = folder / f"cam{camera}" / f"{identity:04d}"
        home.parent.mkdir(exist_ok=True)
        if camera in seen:
            home.mkdir(exist_ok=True)
        for number in range(1, counts[-1] + 1):
            shot = np.random.default_rng([seed, 3, identity, camera, number])
            image = photograph(cameras[camera], person, shot, (size.height, size.width))
            image.save(home / f"{number:04d}.jpg", quality=int(shot.integers(75, 95)))
    return counts


def _write_lists(folder: Path, size: SysuSize, seed: int) -> None:
    order = np.random.default_rng([seed, 4]).permutation(size.train + size.val + size.test) + 1
    ends = np.cumsum([size.train, size.val])
    for name, ids in zip(("train", "val", "test"), np.split(order, ends), strict=True):
        (folder / f"{name}_id.txt").write_text(",".join(map(str, sorted(ids))), encoding="utf-8")
    (folder / "available_id.txt").write_text(",".join(map(str, sorted(order))), encoding="utf-8")


def _permutations(counts: Any, seed: int) -> Any:
    """Return the gallery draws in the form of the official file: cell arrays over cameras and identities."""
    rng = np.random.default_rng([seed, 5])
    draws = np.empty((len(CAMERAS), 1), dtype=object)
    for camera in range(len(CAMERAS)):
        cells = np.empty((len(counts), 1), dtype=object)
        for row, images in enumerate(counts[:, camera]):
            rows = [rng.permutation(images) + 1 for _ in range(TRIALS)]
            cells[row, 0] = np.array(rows, dtype=np.uint8 if images < 256 else np.uint16).reshape(TRIALS, images)
        draws[camera, 0] = cells
    return draws
