"""MATLAB files against scipy's reader, and what torn ones say."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from vireid_plugins.io.mat_file import parse_mat


def cells() -> Any:
    """Cells of cells of numbers of several types, one of them empty."""
    outer = np.empty((3, 1), object)
    generator = np.random.default_rng(0)
    for row, dtype in enumerate((np.uint8, np.float64, np.int32)):
        inner = np.empty((2, 2), object)
        for index in np.ndindex(2, 2):
            inner[index] = generator.integers(1, 90, (4, sum(index))).astype(dtype)
        outer[row, 0] = inner
    return outer


@pytest.mark.parametrize("compressed", [False, True])
def test_parse_mat_gives_what_scipy_reads(tmp_path: Path, compressed: bool) -> None:
    file = tmp_path / "x.mat"
    savemat(file, {"other": 1, "text": "a", "x": cells()}, do_compression=compressed)
    ours, theirs = parse_mat(file.read_bytes())["x"], loadmat(file)["x"]
    assert ours.shape == theirs.shape == (3, 1)
    for row in range(3):
        for index in np.ndindex(2, 2):
            np.testing.assert_array_equal(ours[row, 0][index], theirs[row, 0][index])
            assert ours[row, 0][index].shape == theirs[row, 0][index].shape


def test_parse_mat_big_endian(tmp_path: Path) -> None:
    file = tmp_path / "x.mat"
    matrix = b"".join(
        [
            *[np.array(part, ">u4").tobytes() for part in ([6, 8, 6, 0], [5, 8, 2, 1])],
            np.array([(1 << 16) | 1], ">u4").tobytes() + b"x\0\0\0",
            np.array([9, 16], ">u4").tobytes() + np.array([1.5, -2.0], ">f8").tobytes(),
        ]
    )
    file.write_bytes(b" " * 124 + b"\1\0MI" + np.array([14, len(matrix)], ">u4").tobytes() + matrix)
    np.testing.assert_array_equal(parse_mat(file.read_bytes())["x"], [[1.5], [-2.0]])


def test_parse_mat_gives_every_variable(tmp_path: Path) -> None:
    savemat(tmp_path / "x.mat", {"a": 1, "b": 2})
    assert sorted(parse_mat((tmp_path / "x.mat").read_bytes())) == ["a", "b"]


@pytest.mark.parametrize("compressed", [False, True])
def test_parse_mat_cut_anywhere_is_one_error(tmp_path: Path, compressed: bool) -> None:
    file = tmp_path / "x.mat"
    savemat(file, {"x": cells()}, do_compression=compressed)
    whole = file.read_bytes()
    for length in range(0, len(whole) - 1, 23):
        file.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"."):
            parse_mat(file.read_bytes())["x"]


def test_parse_mat_size_beyond_the_file_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "x.mat"
    savemat(file, {"x": np.ones((2, 2))})
    whole = bytearray(file.read_bytes())
    whole[132:136] = np.array([2**31], "<u4").tobytes()
    file.write_bytes(whole)
    with pytest.raises(ValueError, match=r"claims 2,147,483,648 bytes"):
        parse_mat(file.read_bytes())["x"]
