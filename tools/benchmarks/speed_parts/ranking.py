"""Scoring galleries whose distances do not fit into memory, against the product alone; and in blocks against whole."""

import re
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np

from speed_parts.measure import Subject
from speed_parts.sizes import size
from vireid_plugins.evaluation import feature_ranking
from vireid_plugins.evaluation.feature_rows import FeatureRows
from vireid_plugins.evaluation.labelled import Scoring, score_labelled
from vireid_plugins.evaluation.lengths import normalized
from vireid_plugins.io.array_file import open_arrays

# Queries, gallery images, width of the features, gallery images of an identity.
HUGE: tuple[int, int] = size((10_000, 1_000_000), (70, 1000))
WHOLE: tuple[int, int] = size((2_000, 100_000), (70, 500))
WIDTH, EACH = size(2048, 16), 50
# Rows that are written, and multiplied, at once.
ROWS = 4096


def _sides(folder: Path, sizes: tuple[int, int]) -> dict[str, np.ndarray]:
    """Return the arrays of `vireid score`, as it reads them: features of half precision from files."""
    people = sizes[1] // EACH
    arrays: dict[str, np.ndarray] = {}
    for name, count in zip(("query", "gallery"), sizes, strict=True):
        file = folder / f"{name} {count}.npy"
        ids = np.arange(count) % people
        if not file.is_file():
            _write(file, ids)
        arrays[f"{name}_features"], arrays[f"{name}_ids"] = open_arrays(file).read(""), ids
    return arrays


def _write(file: Path, ids: np.ndarray) -> None:
    """Write features of half precision that usually rank a correct match first."""
    mapped = np.lib.format.open_memmap(file, mode="w+", dtype=np.float16, shape=(len(ids), WIDTH))
    for start in range(0, len(ids), ROWS):
        part = slice(start, start + ROWS)
        # A center of each identity is made again where it is used: all of them would take as much as the features.
        centers = np.stack([np.random.default_rng(one).standard_normal(WIDTH, dtype=np.float32) for one in ids[part]])
        noise = np.random.default_rng([len(ids), start]).standard_normal(centers.shape, dtype=np.float32)
        mapped[part] = centers + 3 * noise
    mapped.flush()


def _product(sizes: tuple[int, int], folder: Path, device: str) -> Callable[[], object]:
    arrays = _sides(folder, sizes)
    queries, gallery = (FeatureRows(arrays[f"{name}_features"], normalized) for name in ("query", "gallery"))

    def run() -> dict[str, float]:
        with Watch() as watch:
            left = queries.whole()
            for start in range(0, len(gallery), ROWS):
                left @ gallery.at(slice(start, start + ROWS)).T
        return {"GiB without mapped files": watch.most / 2**30}

    return run


def _scored(sizes: tuple[int, int], cmc: str, whole: bool, folder: Path, device: str) -> Callable[[], object]:
    arrays = _sides(folder, sizes)
    few = {name: array[:70] for name, array in arrays.items()}
    # Compiles the loops.
    with mock.patch.object(feature_ranking, "WHOLE", 0):
        score_labelled(few, Scoring(cmc=cmc))

    def run() -> dict[str, float]:
        with Watch() as watch, mock.patch.object(feature_ranking, "WHOLE", 2**62 if whole else 0):
            (result,) = score_labelled(arrays, Scoring(cmc=cmc))
        (ranking,) = result.rankings
        return {
            "GiB without mapped files": watch.most / 2**30,
            "mAP": ranking.mAP,
            "Rank-1": float(ranking.cmc[0]),
            "mINP": ranking.mINP,
        }

    return run


class Watch:
    """The largest memory of this process that is not of a mapped file, in bytes, looked at every tenth of a second."""

    def __init__(self) -> None:
        self.most = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while True:
            found = re.search(r"^RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
            self.most = max(self.most, 1024 * int(found[1]) if found else 0)
            if self._over.wait(0.1):
                return


_HUGE = f"{HUGE[0]:,} queries over {HUGE[1]:,} gallery images of {WIDTH}, float16 on disk"
_WHOLE = f"{WHOLE[0]:,} queries over {WHOLE[1]:,} gallery images of {WIDTH}, float16"
SUBJECTS = [
    Subject(_HUGE, "the product in blocks, without ranking", partial(_product, HUGE), slow=True, items=HUGE[0]),
    Subject(_HUGE, "scored in blocks", partial(_scored, HUGE, "ordinary", False), slow=True, items=HUGE[0]),
    *(
        Subject(f"{_WHOLE}, CMC {cmc}", way, partial(_scored, WHOLE, cmc, whole), slow=True, items=WHOLE[0])
        for cmc in ("ordinary", "distinct_id")
        for way, whole in (("the whole matrix", True), ("in blocks", False))
    ),
]
