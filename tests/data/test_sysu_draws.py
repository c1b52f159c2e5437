from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from vireid_plugins.data.datasets.sysu_draws import OfficialDraws
from vireid_plugins.errors import DataError


def cells(rows: int = 10, images: int = 2) -> np.ndarray:
    """Draws of six cameras and three identities."""
    cameras = np.empty((6, 1), object)
    for camera in range(6):
        cameras[camera, 0] = np.empty((3, 1), object)
        for identity in range(3):
            cameras[camera, 0][identity, 0] = np.tile(np.arange(1, images + 1, dtype=np.uint8), (rows, 1))
    return cameras


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "exp").mkdir()
    savemat(tmp_path / "exp" / "rand_perm_cam.mat", {"rand_perm_cam": cells()})
    return tmp_path


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda f: f.write_bytes(b""), "it is empty.*wuancong/SYSU-MM01"),
        (lambda f: f.write_bytes(b"\n\n<!DOCTYPE html>" + b"x" * 3000), "it is a web page.*take the raw file"),
        (lambda f: f.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid"), "a Git LFS pointer"),
        (lambda f: f.write_bytes(b"MATLAB 7.3".ljust(512) + b"\x89HDF\r\n\x1a\n"), "saved as version 7.3"),
        (lambda f: f.write_bytes(f.read_bytes()[:200]), "it is damaged or of another version"),
        (lambda f: savemat(f, {"perm": 1}), "it lacks the variable rand_perm_cam and has perm"),
        (lambda f: savemat(f, {"rand_perm_cam": np.ones((6, 1))}), "must be 6 x 1 cells of cells"),
        (lambda f: savemat(f, {"rand_perm_cam": cells()[:5]}), "must be 6 x 1 cells of cells"),
        (lambda f: f.unlink() or f.mkdir(), "cannot be read: it is a folder"),
        (lambda f: f.unlink(), "are missing.*--protocol"),
    ],
)
def test_official_draws_of_another_file_say_what_it_is(
    folder: Path, write: Callable[[Path], object], said: str
) -> None:
    write(folder / "exp" / "rand_perm_cam.mat")
    with pytest.raises(DataError, match=rf"rand_perm_cam\.mat.*{said}"):
        OfficialDraws(folder)


def test_official_draws_that_do_not_fit_name_the_folder(folder: Path) -> None:
    draws = OfficialDraws(folder)
    assert draws.rows(6, 3, 2, trials=10).shape == (10, 2)
    assert draws.rows(1, 400, 0, trials=10).shape == (10, 0)
    for count, said in (
        (0, "cam6/0003' is missing or has no image, but rand_perm_cam.mat permutes 2"),
        (1, "has 1 images"),
    ):
        with pytest.raises(DataError, match=said):
            draws.rows(6, 3, count)
    with pytest.raises(DataError, match="no such identity"):
        draws.rows(1, 400, 1)
    savemat(draws.file, {"rand_perm_cam": cells(rows=4)})
    with pytest.raises(DataError, match="has 4 trials instead of 10"):
        OfficialDraws(folder).rows(6, 3, 2, trials=10)


def test_official_draws_with_a_cell_of_another_shape_name_it(folder: Path) -> None:
    draws = cells()
    draws[1, 0][2, 0] = "ab"
    savemat(folder / "exp" / "rand_perm_cam.mat", {"rand_perm_cam": draws})
    with pytest.raises(DataError, match=r"camera 2, identity 3 must be \(10, n\) whole numbers"):
        OfficialDraws(folder).rows(2, 3, 2, trials=10)
