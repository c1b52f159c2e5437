"""MATLAB files against scipy's reader, and what torn ones say."""

import zlib
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


def element(kind: int, data: bytes) -> bytes:
    """A data element with its tag, padded to eight bytes unless it is compressed."""
    return np.array([kind, len(data)], "<u4").tobytes() + data + b"\0" * (-len(data) % 8 if kind != 15 else 0)


def matrix(*parts: bytes, flags: int = 6, shape: tuple[int, ...] = (2, 1)) -> bytes:
    """A matrix element named `x`; `flags` 6 is double, 1 cells, 4 text."""
    head = [element(6, np.array([flags, 0], "<u4").tobytes()), element(5, np.array(shape, "<i4").tobytes())]
    return element(14, b"".join([*head, element(1, b"x"), *parts]))


def nested(depth: int) -> bytes:
    """A cell of a cell ... of a number."""
    inner = matrix(element(9, bytes(8)), shape=(1, 1))
    for _ in range(depth):
        inner = matrix(inner, flags=1, shape=(1, 1))
    return inner


WRONG = {
    "compressed data that end early": (element(15, zlib.compress(matrix(element(9, bytes(16))))[:-6]), "end early"),
    "compressed data that are none": (element(15, b"\0" * 16), "decompress"),
    "a short element of five bytes": (element(14, np.array([5 << 16 | 6, 0], "<u4").tobytes()), "claims 5 bytes"),
    "cells nested ten deep": (nested(10), "nested more than 8 deep"),
    "a matrix of numbers alone": (element(14, element(9, bytes(8))), "type 0"),
    "a matrix without elements": (element(14, bytes(4)), "type 0"),
    "a cell too few": (matrix(matrix(element(9, bytes(16))), flags=1), "2 cells holds 1"),
    "a number too many": (matrix(element(9, bytes(24))), "2 numbers holds 3"),
    "a negative size": (matrix(element(9, bytes(16)), shape=(-2, 1)), "no class, shape and name"),
    "numbers of an unknown type": (matrix(element(8, bytes(16))), "type 8"),
    "half a number": (matrix(element(9, bytes(12))), "ends within one"),
}


@pytest.mark.parametrize("case", WRONG)
def test_parse_mat_with_a_wrong_element_says_what_is_wrong(case: str) -> None:
    body, message = WRONG[case]
    with pytest.raises(ValueError, match=message):
        parse_mat(b" " * 124 + b"\0\1IM" + body)


def test_parse_mat_of_text_complex_numbers_and_empty_cells_reads_what_it_knows() -> None:
    empty = matrix(element(14, b""), matrix(element(9, bytes(16))), flags=1)
    others = matrix(element(4, b"ab"), flags=4), matrix(element(9, bytes(16)), element(9, bytes(16)), flags=0x0806)
    (x,) = parse_mat(b" " * 124 + b"\0\1IM" + empty).values()
    assert [cell.shape for cell in x[:, 0]] == [(0, 0), (2, 1)]
    for other in others:
        assert parse_mat(b" " * 124 + b"\0\1IM" + other) == {"x": None}
