import shutil
from pathlib import Path

import pytest
from conftest import LLCM_TREE, REGDB
from fastreid.data.datasets import DATASET_REGISTRY
from helpers import small_cfg

from vireid_plugins.data.datasets import LLCM, RegDB, SYSUMM01Val, build_dataset
from vireid_plugins.data.datasets.lists import read_labelled_paths
from vireid_plugins.errors import ConfigError, DataError


def ids(items: list[tuple[str, int, int]]) -> set[int]:
    return {identity for _, identity, _ in items}


@pytest.mark.parametrize("split", [1, 10])
def test_regdb_in_any_split_halves_the_identities(tree: Path, split: int) -> None:
    dataset = DATASET_REGISTRY.get("RegDB")(root=str(tree), split=split)
    assert len(ids(dataset.train)) == len(ids(dataset.query)) == REGDB.identities // 2
    assert not ids(dataset.train) & ids(dataset.query)
    assert ids(dataset.query) == ids(dataset.gallery)
    assert len(dataset.query) == len(dataset.gallery) == REGDB.identities // 2 * REGDB.images
    assert {dataset.modality(item) for item in dataset.query} == {0}
    assert {dataset.modality(item) for item in dataset.gallery} == {1}
    assert all(Path(path).is_file() for path, _, _ in (*dataset.train, *dataset.query, *dataset.gallery))
    assert f"split {split}" in dataset.title


def test_regdb_has_splits_that_differ_and_a_key_that_chooses(data_root: Path) -> None:
    found = [ids(RegDB(root=str(data_root), split=split).train) for split in (1, 2)]
    assert found[0] != found[1]
    cfg = small_cfg("RegDB/wrim.yml", "DATASETS.REGDB.SPLIT", "2")
    assert ids(build_dataset(cfg, "RegDB").train) == found[1]
    with pytest.raises(ConfigError, match="splits 1 to 10, got 0"):
        RegDB(root=str(data_root), split=0)


def test_llcm_has_the_same_camera_numbers_in_both_modalities(tree: Path) -> None:
    dataset = LLCM(root=str(tree))
    assert (len(ids(dataset.train)), len(ids(dataset.query))) == (LLCM_TREE.train, LLCM_TREE.test)
    assert ids(dataset.query) == ids(dataset.gallery)
    assert not ids(dataset.train) & ids(dataset.query)
    assert {dataset.modality(item) for item in dataset.query} == {1}
    assert {dataset.modality(item) for item in dataset.gallery} == {0}
    assert {camera for _, _, camera in dataset.query} & {camera for _, _, camera in dataset.gallery}
    assert all(Path(path).is_file() for path, _, _ in (*dataset.train, *dataset.query, *dataset.gallery))
    listed = {
        path for name in ("vis", "nir") for path, _ in read_labelled_paths(dataset.folder / f"idx/test_{name}.txt")
    }
    assert listed == {dataset.relative(item) for item in (*dataset.query, *dataset.gallery)}


def test_sysumm01_val_is_camera_3_against_4_and_5(tree: Path) -> None:
    dataset = SYSUMM01Val(root=str(tree))
    assert ids(dataset.query) <= set(dataset.identities("val"))
    assert {camera for _, _, camera in dataset.query} <= {3}
    assert {camera for _, _, camera in dataset.gallery} <= {4, 5}


@pytest.mark.parametrize(
    ("kind", "said"),
    [(RegDB, ("Visible", "Dongguk", "RegDB --root")), (LLCM, ("test_nir", "ZYK100/LLCM", "LLCM --root"))],
)
def test_datasets_that_are_missing_say_where_they_come_from(tmp_path: Path, kind: type, said: tuple[str, ...]) -> None:
    with pytest.raises(DataError) as error:
        kind(root=str(tmp_path))
    for words in (*said, "FASTREID_DATASETS", str(tmp_path / kind.dataset_dir)):
        assert words in str(error.value)


def test_datasets_take_their_own_folder_as_root_too(tree: Path) -> None:
    assert LLCM(root=str(tree / "LLCM")).query == LLCM(root=str(tree)).query
    assert RegDB(root=str(tree / "RegDB")).query == RegDB(root=str(tree)).query


def test_read_labelled_paths_takes_crlf_and_empty_lines(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_bytes(b"Visible/7/a b.bmp 0\r\n\r\nVisible/8/c.bmp 1\r\n")
    assert read_labelled_paths(tmp_path / "x.txt") == [("Visible/7/a b.bmp", 0), ("Visible/8/c.bmp", 1)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("Visible/7/a.bmp", "line 1 must be '<path> <label>'"),
        ("Visible/7/a.bmp 0\nVisible/8/a.bmp x", "line 2 must be"),
        ("../secret.bmp 0", "line 1 leads out of"),
        ("/etc/passwd 0", "line 1 leads out of"),
        ("Visible\\..\\..\\x.bmp 0", "line 1 leads out of"),
    ],
)
def test_read_labelled_paths_names_a_malformed_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "x.txt").write_text(text)
    with pytest.raises(DataError, match=rf"x\.txt.*{said}"):
        read_labelled_paths(tmp_path / "x.txt")
    (tmp_path / "x.txt").write_bytes(b"\xff\xfe\x00\x99")
    with pytest.raises(DataError, match="not a text file"):
        read_labelled_paths(tmp_path / "x.txt")


def test_datasets_with_foreign_file_names_name_them(tree: Path, tmp_path: Path) -> None:
    shutil.copytree(tree / "LLCM", tmp_path / "LLCM")
    path, identity, camera = LLCM(root=str(tmp_path)).gallery[0]
    Path(path).rename(Path(path).with_name("photo.jpg"))
    with pytest.raises(DataError, match=f"cam{camera}/{identity:04d}/photo.jpg.*must have a name like"):
        _ = LLCM(root=str(tmp_path)).gallery
    shutil.copytree(tree / "RegDB", tmp_path / "RegDB")
    (tmp_path / "RegDB" / "idx" / "test_thermal_1.txt").write_text("Thermal/seven/a.bmp 0\n")
    with pytest.raises(DataError, match=r"test_thermal_1.txt.*must be Thermal/<identity>/<image>"):
        _ = RegDB(root=str(tmp_path)).gallery
