import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import TREE
from fastreid.data.datasets import DATASET_REGISTRY
from scipy.io import loadmat

from vireid_plugins.data.datasets import SYSUMM01
from vireid_plugins.data.datasets.lists import read_ids
from vireid_plugins.errors import DataError
from vireid_plugins.evaluation.protocols import PROTOCOLS, Protocol
from vireid_plugins.evaluation.trials import draw_trials


def galleries(dataset: SYSUMM01, protocol: Protocol) -> list[list[str]]:
    return [trial.gallery for trial in draw_trials(dataset, protocol)]


def test_sysumm01_is_registered_and_reads_the_lists_not_the_folders(tree: Path) -> None:
    dataset = DATASET_REGISTRY.get("SYSUMM01")(root=str(tree))
    train = {identity for _, identity, _ in dataset.train}
    test = {identity for _, identity, _ in (*dataset.query, *dataset.gallery)}
    assert (len(train), len(test)) == (TREE.train + TREE.val, TREE.test)
    assert not train & test
    assert {camera for _, _, camera in dataset.query} <= {3, 6}
    assert {camera for _, _, camera in dataset.gallery} <= {1, 2, 4, 5}
    assert len(SYSUMM01(root=str(tree), train="train").train) < len(dataset.train)


def test_sysumm01_takes_its_own_folder_as_root_too(tree: Path) -> None:
    assert SYSUMM01(root=str(tree / "SYSU-MM01")).query == SYSUMM01(root=str(tree)).query


def test_sysumm01_that_is_missing_says_what_where_from_and_what_else_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        SYSUMM01(root=str(tmp_path))
    for said in (
        str(tmp_path / "SYSU-MM01"),
        "cam1",
        "exp/test_id.txt",
        "wuancong/SYSU-MM01",
        "vireid synthesize SYSUMM01 --root datasets",
        "FASTREID_DATASETS",
    ):
        assert said in str(error.value)


@pytest.mark.parametrize(("text", "ids"), [("1,2,3", [1, 2, 3]), ("7\n", [7]), ("4, 5,\r\n", [4, 5])])
def test_read_ids_takes_one_line_of_numbers(tmp_path: Path, text: str, ids: list[int]) -> None:
    (tmp_path / "x.txt").write_text(text)
    assert read_ids(tmp_path / "x.txt") == ids


@pytest.mark.parametrize("text", ["", "1;2", "1,2\n3,4", "a"])
def test_read_ids_names_a_malformed_list(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.txt").write_text(text)
    with pytest.raises(DataError, match=r"x\.txt"):
        read_ids(tmp_path / "x.txt")


@pytest.mark.parametrize("mode", ["all", "indoor"])
def test_galleries_of_agw_are_the_reference_loaders(tree: Path, mode: str) -> None:
    """The reference loop, written from its description: seed, sorted identities, cameras in order, one choice each."""
    dataset = SYSUMM01(root=str(tree))
    cameras = {"all": (1, 2, 4, 5), "indoor": (1, 2)}[mode]
    drawn = galleries(dataset, PROTOCOLS[f"sysu/agw/{mode}/1shot"])
    state = random.getstate()
    for trial in range(10):
        random.seed(trial)
        expected = []
        for identity in dataset.test_ids:
            for camera in cameras:
                folder = tree / "SYSU-MM01" / f"cam{camera}" / f"{identity:04d}"
                if folder.is_dir():
                    name = random.choice(sorted(file.name for file in folder.iterdir()))
                    expected.append(f"cam{camera}/{identity:04d}/{name}")
        assert drawn[trial] == expected
    random.setstate(state)


@pytest.mark.parametrize("shots", [1, 10])
@pytest.mark.parametrize("mode", ["all", "indoor"])
def test_galleries_of_official_draws_are_the_first_shots_of_the_trials_row(tree: Path, mode: str, shots: int) -> None:
    dataset = SYSUMM01(root=str(tree))
    mat = loadmat(tree / "SYSU-MM01" / "exp" / "rand_perm_cam.mat")["rand_perm_cam"]
    drawn = galleries(dataset, PROTOCOLS[f"sysu/official/{mode}/{shots}shot"])
    assert len(drawn) == 10
    for trial, gallery in enumerate(drawn):
        expected = []
        for camera in {"all": (1, 2, 4, 5), "indoor": (1, 2)}[mode]:
            for identity in dataset.test_ids:
                order = mat[camera - 1][0][identity - 1][0]
                if order.shape[1]:
                    expected += [f"cam{camera}/{identity:04d}/{n:04d}.jpg" for n in order[trial][:shots]]
        assert gallery == expected


def test_galleries_leave_the_global_generators_alone(tree: Path) -> None:
    before = (random.getstate(), np.random.get_state()[1].tolist())
    galleries(SYSUMM01(root=str(tree)), PROTOCOLS["sysu/agw/all/1shot"])
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before


@pytest.fixture
def copy(tree: Path, tmp_path: Path) -> Path:
    shutil.copytree(tree / "SYSU-MM01", tmp_path / "SYSU-MM01")
    return tmp_path


def test_galleries_with_a_gap_in_the_numbering_name_the_folder(copy: Path) -> None:
    dataset = SYSUMM01(root=str(copy))
    path, identity, camera = dataset.gallery[0]
    Path(path).unlink()
    with pytest.raises(DataError, match=f"cam{camera}/{identity:04d}' has {TREE.images - 1} images"):
        galleries(SYSUMM01(root=str(copy)), PROTOCOLS["sysu/official/all/1shot"])


def test_galleries_of_missing_or_foreign_draws_name_the_file(copy: Path) -> None:
    mat = copy / "SYSU-MM01" / "exp" / "rand_perm_cam.mat"
    mat.write_bytes(b"not a mat file, but long enough to be looked at" * 10)
    with pytest.raises(DataError, match=r"rand_perm_cam\.mat' is not"):
        galleries(SYSUMM01(root=str(copy)), PROTOCOLS["sysu/official/all/1shot"])
    mat.unlink()
    with pytest.raises(DataError, match=r"rand_perm_cam\.mat' are missing.*sysu/agw"):
        galleries(SYSUMM01(root=str(copy)), PROTOCOLS["sysu/official/all/1shot"])
