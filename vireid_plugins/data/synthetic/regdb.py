"""Write a synthetic tree in the layout of RegDB, with ten splits."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np

from vireid_plugins.data.batch import INFRARED, VISIBLE
from vireid_plugins.data.datasets.regdb import FOLDERS, RegDB
from vireid_plugins.data.synthetic.sizes import RegdbSize
from vireid_plugins.data.synthetic.tree import Shot, write_labelled_paths, write_tree


def write_regdb(folder: Path, size: RegdbSize, seed: int = 0, workers: int | None = None) -> None:
    """Write images, the lists of ten splits and a manifest; see `write_tree`.

    Args:
        folder: the `RegDB` folder to create.
        size: size of the tree.
        seed: random seed.
        workers: processes; the number of processors by default.

    Raises:
        DataError: the folder contains something other than a synthetic tree.
    """
    finish = partial(_finish, seed=seed)
    write_tree(folder, "RegDB", size, seed, size.identities, partial(_plan, size), finish, workers)


def _plan(size: RegdbSize, identity: int, rng: np.random.Generator) -> list[Shot]:
    view = rng.choice(("front", "back"))
    return [
        Shot(
            f"{FOLDERS[modality]}/{identity}/person_{view}_{letter}_{100 * identity + number:05d}_{identity}.bmp",
            camera,
            modality,
            camera,
            number,
        )
        for camera, modality, letter in ((1, VISIBLE, "v"), (2, INFRARED, "t"))
        for number in range(1, size.images + 1)
    ]


def _finish(folder: Path, shots: dict[int, list[Shot]], seed: int) -> dict[str, Iterable[int]]:
    lists: dict[str, Iterable[int]] = {}
    for split in RegDB.splits:
        order = np.random.default_rng([seed, 4, split]).permutation(len(shots)) + 1
        for subset, identities in zip(("train", "test"), np.split(order, [len(shots) // 2]), strict=True):
            lists[f"{subset} {split}"] = subset_ids = sorted(identities.tolist())
            for modality, name in FOLDERS.items():
                groups = [[shot.path for shot in shots[i] if shot.modality == modality] for i in subset_ids]
                write_labelled_paths(folder / "idx" / f"{subset}_{name.lower()}_{split}.txt", groups)
    return lists
