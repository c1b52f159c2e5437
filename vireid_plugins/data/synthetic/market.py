"""Write a synthetic tree in the layout of Market-1501, for users of fast-reid's own recipes."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np

from vireid_plugins.data.batch import VISIBLE
from vireid_plugins.data.synthetic.sizes import MarketSize
from vireid_plugins.data.synthetic.tree import Shot, write_tree

CAMERAS = range(1, 7)


def write_market(folder: Path, size: MarketSize, seed: int = 0, workers: int | None = None) -> None:
    """Write images and a manifest; see `write_tree`.

    Args:
        folder: the `Market-1501-v15.09.15` folder to create.
        size: size of the tree.
        seed: random seed.
        workers: processes; the number of processors by default.

    Raises:
        DataError: the folder contains something other than a synthetic tree.
    """
    finish = partial(_finish, size=size)
    write_tree(folder, "Market1501", size, seed, size.train + size.test, partial(_plan, size), finish, workers)


def _plan(size: MarketSize, identity: int, rng: np.random.Generator) -> list[Shot]:
    visited = rng.choice(list(CAMERAS), size=int(rng.integers(2, len(CAMERAS) + 1)), replace=False)
    shots = []
    for camera in sorted(visited.tolist()):
        for number in range(1, size.images + 1):
            test = "query" if number == 1 else "bounding_box_test"
            subset = "bounding_box_train" if identity <= size.train else test
            name = f"{identity:04d}_c{camera}s1_{number * 25:06d}_{number:02d}.jpg"
            shots.append(Shot(f"{subset}/{name}", camera, VISIBLE, camera, number))
    return shots


def _finish(folder: Path, shots: dict[int, list[Shot]], size: MarketSize) -> dict[str, Iterable[int]]:
    for name in ("bounding_box_train", "bounding_box_test", "query"):
        (folder / name).mkdir(exist_ok=True)
    identities = sorted(shots)
    return {"train": identities[: size.train], "test": identities[size.train :]}
