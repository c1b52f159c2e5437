"""Trees of empty files with the sizes of the real data sets, or a share: lists and scoring only read names."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from scipy.io import savemat

# Images, and how many identities share them, for each camera of SYSU-MM01's test set: 301 (identity, camera) pairs in
# the visible cameras, 112 of them indoors.
SYSU = {1: (1374, 56), 2: (1565, 56), 3: (1883, 96), 4: (1918, 94), 5: (1918, 95), 6: (1920, 96)}
# Images and (identity, camera) pairs of LLCM's test set.
LLCM = {"vis": (8680, 484, range(1, 10)), "nir": (7166, 619, (1, 2, 4, 5, 6, 7, 8, 9))}
# The training sets: images of each camera of SYSU-MM01 (395 identities), images of each modality of LLCM (713).
SYSU_TRAINING = {1: 4721, 2: 5753, 3: 7909, 4: 5811, 5: 5973, 6: 4000}
LLCM_TRAINING = {"vis": 16946, "nir": 13975}


def sysu_names(folder: Path, share: float = 1.0) -> None:
    """Write the names of SYSU-MM01's test set, with its real counts or a share of its identities, and its trials."""
    draws = np.empty((6, 1), dtype=object)
    rng = np.random.default_rng(0)
    ids = round(96 * share)
    for camera, (images, identities) in SYSU.items():
        cells = np.empty((ids, 1), dtype=object)
        for identity in range(1, ids + 1):
            count = len(range(identity - 1, images, identities)) if identity <= identities else 0
            _touch(folder / f"cam{camera}" / f"{identity:04d}", [f"{n:04d}.jpg" for n in range(1, count + 1)])
            rows = [rng.permutation(count) + 1 for _ in range(10)]
            cells[identity - 1, 0] = np.array(rows, dtype=np.uint8).reshape(10, count)
        draws[camera - 1, 0] = cells
    _sysu_lists(folder, train=[ids + 1], test=range(1, ids + 1))
    savemat(folder / "exp" / "rand_perm_cam.mat", {"rand_perm_cam": draws})


def sysu_training(folder: Path, share: float) -> None:
    """Write the names of a share of SYSU-MM01's training set."""
    ids = round(395 * share)
    for camera, images in SYSU_TRAINING.items():
        for identity in range(1, ids + 1):
            count = len(range(identity - 1, round(images * share), ids))
            _touch(folder / f"cam{camera}" / f"{identity:04d}", [f"{n:04d}.jpg" for n in range(1, count + 1)])
    _sysu_lists(folder, train=range(1, ids + 1), test=[ids + 1])
    (folder / "exp" / "rand_perm_cam.mat").touch()


def _sysu_lists(folder: Path, train: Iterable[int], test: Iterable[int]) -> None:
    (folder / "exp").mkdir()
    for name, ids in (("train", train), ("val", [999]), ("test", test)):
        (folder / "exp" / f"{name}_id.txt").write_text(",".join(map(str, ids)))


def regdb_names(folder: Path, share: float = 1.0) -> None:
    """Write the names of one split of RegDB: 206 identities, or a share of them, with 10 images per modality."""
    for modality in ("Visible", "Thermal"):
        lines = []
        for identity in range(1, round(206 * share) + 1):
            names = [f"{identity}_{n}.bmp" for n in range(10)]
            _touch(folder / modality / str(identity), names)
            lines += [f"{modality}/{identity}/{name} {identity - 1}\n" for name in names]
        (folder / "idx").mkdir(exist_ok=True)
        for subset in ("train", "test"):
            (folder / "idx" / f"{subset}_{modality.lower()}_1.txt").write_text("".join(lines))


def llcm_names(folder: Path, share: float = 1.0) -> None:
    """Write the names of LLCM's test set, with its real counts or a share of its (identity, camera) pairs."""
    # Those that have images in both modalities.
    people = min(351, *(round(pairs * share) for _, pairs, _ in LLCM.values()))
    for modality, (images, pairs, cameras) in LLCM.items():
        for pair in (number for number in range(round(pairs * share)) if number % 351 < people):
            identity, camera = pair % 351 + 1, cameras[(pair * 5 + pair // 351) % len(cameras)]
            count = len(range(pair, images, pairs))
            names = [f"{identity:04d}_c{camera:02d}_s{pair:06d}_f{n:05d}_{modality}.jpg" for n in range(count)]
            _touch(folder / f"test_{modality}" / f"cam{camera}" / f"{identity:04d}", names)
        (folder / modality).mkdir()
        (folder / "idx").mkdir(exist_ok=True)
        (folder / "idx" / f"train_{modality}.txt").write_text(f"{modality}/0001/0001_c01_s1_f1_{modality}.jpg 0\n")
    (folder / "idx" / "test_id.txt").write_text(",".join(map(str, range(1, people + 1))))


def llcm_training(folder: Path, share: float) -> None:
    """Write the names of a share of LLCM's training set."""
    ids = round(713 * share)
    (folder / "idx").mkdir(parents=True)
    for modality, images in LLCM_TRAINING.items():
        lines = []
        for identity in range(1, ids + 1):
            place = folder / modality / f"{identity:04d}"
            count = len(range(identity - 1, round(images * share), ids))
            names = [f"{identity:04d}_c{1 + n % 2:02d}_s{n:06d}_f{n:05d}_{modality}.jpg" for n in range(count)]
            _touch(place, names)
            lines += [f"{modality}/{identity:04d}/{name} {identity - 1}\n" for name in names]
            _touch(folder / f"test_{modality}" / "cam1" / f"{ids + 1:04d}", [])
        (folder / "idx" / f"train_{modality}.txt").write_text("".join(lines))
    (folder / "idx" / "test_id.txt").write_text(str(ids + 1))


def _touch(folder: Path, names: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()
