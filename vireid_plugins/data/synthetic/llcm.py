"""Write a synthetic tree in the layout of LLCM."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np

from vireid_plugins.data.datasets.base import MODALITIES
from vireid_plugins.data.datasets.llcm import CAMERAS, SUFFIX
from vireid_plugins.data.synthetic.sizes import LlcmSize
from vireid_plugins.data.synthetic.tree import Shot, write_ids, write_labelled_paths, write_tree


def write_llcm(folder: Path, size: LlcmSize, seed: int = 0, workers: int | None = None) -> None:
    """Write images, lists and a manifest; see `write_tree`.

    Args:
        folder: the `LLCM` folder to create.
        size: size of the tree.
        seed: random seed.
        workers: processes; the number of processors by default.

    Raises:
        DataError: the folder contains something other than a synthetic tree.
    """
    people = size.train + size.test
    test_ids = set((np.random.default_rng([seed, 4]).permutation(people)[: size.test] + 1).tolist())
    plan = partial(_plan, size, frozenset(test_ids))
    write_tree(folder, "LLCM", size, seed, people, plan, partial(_finish, test_ids=test_ids), workers)


def _plan(size: LlcmSize, test_ids: frozenset[int], identity: int, rng: np.random.Generator) -> list[Shot]:
    shots = []
    for modality, cameras in CAMERAS.items():
        # As in the real set, a query has no match if the other modality saw its identity only at the same location.
        visited = rng.choice(list(cameras), size=1 + int(rng.random() < 0.6), replace=False)
        for camera in sorted(visited.tolist()):
            second = int(rng.integers(0, 200_000))
            for number in range(1, size.images + 1):
                name = f"{identity:04d}_c{camera:02d}_s{second:06d}_f{number * 10:05d}_{SUFFIX[modality]}.jpg"
                test = f"test_{SUFFIX[modality]}/cam{camera}/{identity:04d}/{name}"
                train = f"{SUFFIX[modality]}/{identity:04d}/{name}"
                path = test if identity in test_ids else train
                shots.append(Shot(path, camera, modality, camera + 9 * modality, number))
    return shots


def _finish(folder: Path, shots: dict[int, list[Shot]], test_ids: set[int]) -> dict[str, Iterable[int]]:
    lists: dict[str, Iterable[int]] = {"train": sorted(set(shots) - test_ids), "test": sorted(test_ids)}
    for subset, identities in lists.items():
        for modality in MODALITIES:
            groups = [[shot.path for shot in shots[i] if shot.modality == modality] for i in identities]
            write_labelled_paths(folder / "idx" / f"{subset}_{SUFFIX[modality]}.txt", groups)
    write_ids(folder / "idx" / "test_id.txt", test_ids)
    for name in (*SUFFIX.values(), *(f"test_{suffix}" for suffix in SUFFIX.values())):
        (folder / name).mkdir(exist_ok=True)
    return lists
