"""The official gallery draws of SYSU-MM01, `exp/rand_perm_cam.mat`.

An object array over cameras of object arrays over identities of (10, n) permutations, 1-based: row t is trial t, its
first `shots` entries index the sorted images of that identity in that camera.
"""

from pathlib import Path
from typing import Any

import numpy as np

from vireid_plugins.errors import DataError


class OfficialDraws:
    """The draws of one tree.

    Args:
        folder: the `SYSU-MM01` folder.

    Raises:
        DataError: the file is missing or holds something else.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "exp" / "rand_perm_cam.mat"
        if not self.file.is_file():
            raise DataError(
                f"SYSU-MM01: the official gallery draws '{self.file}' are missing. They come from "
                "evaluation/data_split/ of the repository wuancong/SYSU-MM01; without them set TEST.PROTOCOLS to the "
                "sysu/agw/... protocols"
            )
        from scipy.io import loadmat  # not at the top: scipy takes a tenth of a second to import

        try:
            self.permutations: Any = loadmat(self.file)["rand_perm_cam"]
        except (KeyError, ValueError, OSError, NotImplementedError) as error:
            raise DataError(f"SYSU-MM01: '{self.file}' is not the official rand_perm_cam.mat: {error}") from None

    def rows(self, camera: int, identity: int, count: int) -> Any:
        """Return the (10, n) permutations of one identity in one camera.

        Args:
            camera: 1 to 6.
            identity: its number.
            count: how many images are on disk.

        Raises:
            DataError: the draws do not fit the images; the message names the folder.
        """
        where = f"SYSU-MM01: '{self.folder / f'cam{camera}' / f'{identity:04d}'}' has {count} images"
        try:
            rows = self.permutations[camera - 1, 0][identity - 1, 0]
        except IndexError:
            raise DataError(f"{where}, but rand_perm_cam.mat does not know the identity") from None
        if rows.shape[1] != count or not (np.sort(rows, axis=1) == np.arange(1, count + 1)).all():
            raise DataError(
                f"{where}, but rand_perm_cam.mat permutes {rows.shape[1]}: files are missing, added or not numbered "
                "without gaps"
            )
        return rows
