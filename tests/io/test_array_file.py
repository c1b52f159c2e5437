"""Arrays from every kind of file that people have, and what is said about the others."""

import gzip
import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import savemat

from vireid_plugins.errors import FeatureError
from vireid_plugins.io.array_file import open_arrays, split_name

MATRIX = np.arange(6.0).reshape(3, 2)


def npz(file: Path) -> None:
    np.savez(file.open("wb"), Feats=MATRIX, ids=np.arange(3))


def mat(file: Path, **options: object) -> None:
    savemat(file, {"Feats": MATRIX, "ids": np.arange(3), "names": "text"}, appendmat=False, **options)


@pytest.mark.parametrize(
    "write",
    [npz, mat, lambda file: mat(file, do_compression=True), lambda file: np.save(file.open("wb"), MATRIX)],
)
@pytest.mark.parametrize("name", ["f.npz", "f", "f.mat"])
def test_open_arrays_reads_what_the_content_is_whatever_its_name(
    tmp_path: Path, write: Callable[[Path], None], name: str
) -> None:
    write(tmp_path / name)
    found = open_arrays(tmp_path / name)
    np.testing.assert_array_equal(found.find(["other", "feats"]), MATRIX)
    if found.names == [""]:
        return
    assert found.names == ["Feats", "ids"]
    assert np.asarray(found.find(["ids"])).reshape(-1).tolist() == [0, 1, 2]
    assert found.find(["absent"]) is None


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1\n-2\n0\n", [1, -2, 0]),
        ("1\n-2\n03\n", ["1", "-2", "03"]),
        ("anna\r\nbert\r\n\r\n", ["anna", "bert"]),
        ("\ufeff1\n2x", ["1", "2x"]),
        ("1.5\n", ["1.5"]),
        ("cam 1/a b.jpg\n", ["cam 1/a b.jpg"]),
    ],
)
def test_open_arrays_reads_a_value_per_line(tmp_path: Path, text: str, values: list[object]) -> None:
    (tmp_path / "ids.txt").write_text(text, encoding="utf-8", newline="")
    assert open_arrays(tmp_path / "ids.txt").find(["ids"]).tolist() == values


def claims_too_much(file: Path) -> None:
    np.save(file.open("wb"), MATRIX)
    file.write_bytes(file.read_bytes().replace(b"(3, 2)", b"(3,9999999999)"[:14])[:400])


def old_hdf5(file: Path) -> None:
    file.write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + struct.pack("<H", 0x0200) + b"IM" + bytes(400))


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda file: None, "does not exist; it must be a .npy, .npz or .mat file, or text"),
        (lambda file: file.mkdir(), "cannot be read: it is a folder"),
        (lambda file: os.mkfifo(file), "cannot be read: it is a pipe"),
        (lambda file: file.write_bytes(b""), "it is empty"),
        (lambda file: file.write_text("1\n\n2"), "line 2 is empty"),
        (lambda file: file.write_bytes(gzip.compress(bytes(2000))), "is not a .npy"),
        (lambda file: file.write_bytes(pickle.dumps(MATRIX)), "it is a pickle or HDF5; .*np.save"),
        (lambda file: file.write_bytes(b"\x89HDF\r\n" + bytes(600)), "it is a pickle or HDF5"),
        (old_hdf5, "MATLAB 7.3, which is HDF5; save it with -v7"),
        (lambda file: torch.save({"f": torch.ones(2)}, file), "a file of torch.save; save the array with np.save"),
        (lambda file: np.save(file.open("wb"), np.array([{}], dtype=object)), "holds Python objects"),
        (claims_too_much, "the header of it claims|cannot be read"),
        (lambda file: (mat(file), file.write_bytes(file.read_bytes()[:300])), "cannot be read"),
    ],
)
def test_open_arrays_of_anything_else_is_one_error(tmp_path: Path, write: Callable[[Path], None], said: str) -> None:
    write(tmp_path / "f")
    with pytest.raises(FeatureError, match=f"^'{tmp_path / 'f'}'.*{said}"):
        open_arrays(tmp_path / "f")


def test_arrays_of_objects_in_an_archive_are_one_error_when_they_are_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "f.npz", features=MATRIX, ids=np.array(["a", {}], dtype=object))
    found = open_arrays(tmp_path / "f.npz")
    np.testing.assert_array_equal(found.find(["features"]), MATRIX)
    with pytest.raises(FeatureError, match=r"f\.npz': .*holds Python objects; save plain arrays"):
        found.find(["ids"])


def test_split_name_takes_a_name_after_the_last_colon(tmp_path: Path) -> None:
    assert split_name("a/b.mat:query_f") == (Path("a/b.mat"), "query_f")
    assert split_name("a/b.mat") == (Path("a/b.mat"), "")
    (tmp_path / "odd:name").write_text("1")
    assert split_name(str(tmp_path / "odd:name")) == (tmp_path / "odd:name", "")
