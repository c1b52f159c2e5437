"""The official gallery draws of SYSU-MM01, `exp/rand_perm_cam.mat`."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vireid_plugins.data.datasets.folders import exists
from vireid_plugins.errors import DataError
from vireid_plugins.io.mat_file import parse_mat
from vireid_plugins.io.regular import read_bytes, wrong_download

VARIABLE = "rand_perm_cam"
_WHERE_FROM = "copy it from evaluation/data_split/ of the repository wuancong/SYSU-MM01"
_HDF5 = b"\x89HDF\r\n\x1a\n"


class _Content(NamedTuple):
    """What is in the file: its variables, and the permutations that are checked, by camera and identity."""

    variables: Mapping[str, Any]
    checked: dict[tuple[int, int], Any]


@functools.lru_cache(maxsize=1)
def _parsed(content: bytes) -> _Content:
    """Return what is in the file, which every official protocol asks for."""
    return _Content(parse_mat(content), {})


class OfficialDraws:
    """The official gallery draws.

    The file contains an object array over cameras of object arrays over identities of (10, n) one-based permutations.
    Row t is trial t; its first `shots` entries index the sorted images of that identity in that camera.

    Args:
        folder: the `SYSU-MM01` folder.

    Raises:
        DataError: the file is missing or is not the official one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "exp" / "rand_perm_cam.mat"
        if not exists(self.file):
            raise DataError(
                f"SYSU-MM01: the official gallery draws '{self.file}' are missing: {_WHERE_FROM}, or set "
                "TEST.PROTOCOLS (vireid score: --protocol) to sysu/agw/... protocols, which do not need them"
            )
        try:
            content = read_bytes(self.file)
        except OSError as error:
            raise DataError(f"SYSU-MM01: '{self.file}' cannot be read: {error.strerror}") from None
        self.permutations = self._permutations(content)

    def _permutations(self, content: bytes) -> Any:
        """Return the (6, 1) object array in the content of the file."""
        if wrong := wrong_download(content[:4096]):
            raise self._wrong(wrong)
        if _HDF5 in content[:1024]:
            raise self._wrong("it was saved as version 7.3; the official file has version 5")
        try:
            variables, self._checked = _parsed(content)
        except ValueError as error:
            raise self._wrong(f"it is damaged or of another version ({error})") from None
        if VARIABLE not in variables:
            names = ", ".join(variables) or "nothing"
            raise self._wrong(f"it lacks the variable {VARIABLE} and has {names}")
        cameras = variables[VARIABLE]
        if not _is_cell(cameras) or len(cameras) != 6 or not all(map(_is_cell, cameras[:, 0])):
            raise self._wrong(f"{VARIABLE} must be 6 x 1 cells of cells, one per camera")
        return cameras

    def _wrong(self, problem: str) -> DataError:
        return DataError(
            f"SYSU-MM01: '{self.file}' is not the official rand_perm_cam.mat: {problem}. To get it: {_WHERE_FROM}"
        )

    def rows(self, camera: int, identity: int, count: int, trials: int = 1) -> Any:
        """Return the (10, n) permutations of an identity in a camera.

        Args:
            camera: 1 to 6.
            identity: number of the identity.
            count: number of images on disk, n.
            trials: number of trials that are needed.

        Raises:
            DataError: the draws do not match the images, or have fewer trials; the message names the folder.
        """
        known = self._checked.get((camera, identity))
        if known is not None and known.shape[1] == count and len(known) >= trials:
            return known
        of_camera = self.permutations[camera - 1, 0]
        where = f"SYSU-MM01: '{self.folder / f'cam{camera}' / f'{identity:04d}'}'"
        if not 0 < identity <= len(of_camera):
            if count:
                raise DataError(f"{where} has {count} images, but rand_perm_cam.mat has no such identity")
            return np.empty((trials, 0), np.uint8)
        rows = of_camera[identity - 1, 0]
        if not isinstance(rows, np.ndarray) or rows.ndim != 2 or rows.dtype.kind not in "iuf":
            raise self._wrong(f"camera {camera}, identity {identity} must be (10, n) whole numbers")
        if not count and rows.shape[1]:
            raise DataError(
                f"{where} is missing or has no image, but rand_perm_cam.mat permutes {rows.shape[1]} images of it; "
                "copy the folder"
            )
        if rows.shape[1] != count or not (np.sort(rows, axis=1) == np.arange(1, count + 1)).all():
            raise DataError(
                f"{where} has {count} images, but rand_perm_cam.mat permutes {rows.shape[1]}: files are missing, added "
                "or not numbered without gaps"
            )
        if count and len(rows) < trials:
            raise self._wrong(f"camera {camera}, identity {identity} has {len(rows)} trials instead of {trials}")
        self._checked[camera, identity] = rows.astype(np.int64)
        return self._checked[camera, identity]


def _is_cell(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype == object and value.ndim == 2 and value.shape[1] == 1
