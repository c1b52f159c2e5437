import zipfile
from pathlib import Path

import numpy as np
import pytest

from vireid_plugins.io import arrays
from vireid_plugins.io.arrays import read_npy, read_npz


def with_header(file: Path, shape: str, kind: str = "'<f4'") -> Path:
    """Write a `.npz` whose one array claims a shape and holds eight bytes."""
    text = f"{{'descr': {kind}, 'fortran_order': False, 'shape': {shape}}}".ljust(117) + "\n"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.npy", b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text.encode() + bytes(8))
    return file


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_read_npz_returns_what_was_asked_for_and_all_names(tmp_path: Path, save: object) -> None:
    given = {"a": np.asfortranarray(np.arange(6.0).reshape(2, 3)), "b": np.array(["é", ""]), "c": np.array(7), "d": [1]}
    save(tmp_path / "f.npz", **given)  # type: ignore[operator]
    found, names = read_npz(tmp_path / "f.npz", ("a", "b", "c", "x"))
    assert sorted(found) == ["a", "b", "c"]
    assert sorted(names) == ["a", "b", "c", "d"]
    for name, array in found.items():
        np.testing.assert_array_equal(array, given[name])


def test_read_npy_maps_a_large_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = np.arange(600.0).reshape(20, 30)
    np.save(tmp_path / "f.npy", given)
    assert not isinstance(read_npy(tmp_path / "f.npy"), np.memmap)
    monkeypatch.setattr(arrays, "MAPPED", 1000)
    mapped = read_npy(tmp_path / "f.npy")
    assert isinstance(mapped, np.memmap)
    assert not mapped.flags.writeable
    np.testing.assert_array_equal(mapped, given)


def test_read_npz_of_arrays_without_content_reads_them(tmp_path: Path) -> None:
    np.savez(tmp_path / "f.npz", rows=np.zeros((0, 5)), texts=np.array(["", ""]))
    assert read_npz(tmp_path / "f.npz", ("rows",)).found["rows"].shape == (0, 5)
    assert read_npz(tmp_path / "f.npz", ("texts",)).found["texts"].tolist() == ["", ""]


@pytest.mark.parametrize("shape", ["(1000000000000,)", "(3,)", "(9999999999999999999999, 2)"])
def test_read_npz_compares_the_size_that_a_header_claims(tmp_path: Path, shape: str) -> None:
    with pytest.raises(ValueError, match=r"header of a\.npy claims [\d,]+ bytes where 8 are left"):
        read_npz(with_header(tmp_path / "f.npz", shape), ("a",))


def test_read_npz_of_texts_without_length_in_great_number_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="claims"):
        read_npz(with_header(tmp_path / "f.npz", "(1000000000000,)", "'<U0'"), ("a",))


def test_read_npz_that_would_fill_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez_compressed(tmp_path / "f.npz", a=np.zeros(100_000))
    assert read_npz(tmp_path / "f.npz", ("a",)).found["a"].shape == (100_000,)
    monkeypatch.setattr(arrays, "MAX_UNPACKED", 1000)
    with pytest.raises(ValueError, match=r"a\.npy takes [\d,]+ bytes and would unpack to 800,128"):
        read_npz(tmp_path / "f.npz", ("a",))


def test_read_npz_of_objects_runs_no_code(tmp_path: Path) -> None:
    np.savez(tmp_path / "f.npz", a=np.array([{}, []], object))
    with pytest.raises(ValueError, match=r"a\.npy holds Python objects"):
        read_npz(tmp_path / "f.npz", ("a",))


def test_read_npz_with_one_name_twice_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "f.npz", "w") as archive:
        archive.writestr("a.npy", b"1")
        archive.writestr("a", b"2")
    with pytest.raises(ValueError, match="two arrays of one name"):
        read_npz(tmp_path / "f.npz", ("a",))


@pytest.mark.parametrize("content", [b"", b"PK", b"no zip file at all"])
def test_read_npz_of_other_files_is_a_value_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "f.npz").write_bytes(content)
    with pytest.raises(ValueError, match="zip"):
        read_npz(tmp_path / "f.npz", ("a",))


def test_read_npz_of_a_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="it is a folder"):
        read_npz(tmp_path, ("a",))


def test_read_npz_of_a_version_for_records_is_a_value_error(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "f.npz", "w") as archive:
        archive.writestr("a.npy", np.lib.format.magic(3, 0) + bytes(64))
    with pytest.raises(ValueError, match=r"a\.npy is of version \(3, 0\), for arrays of records"):
        read_npz(tmp_path / "f.npz", ("a",))
