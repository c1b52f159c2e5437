"""What every data set refuses or warns of before a training or an evaluation."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastreid.data.datasets import DATASET_REGISTRY
from fastreid.data.datasets.bases import ImageDataset
from helpers import small_cfg

from vireid_plugins.config import CfgNode
from vireid_plugins.data import build_train_loader
from vireid_plugins.data.datasets import LLCM, SYSUMM01, CrossModalityDataset, RegDB, SYSUMM01Val, build_dataset
from vireid_plugins.data.datasets.base import require_items, require_separate
from vireid_plugins.engine import Trainer
from vireid_plugins.errors import ConfigError, DataError
from vireid_plugins.evaluation import EvaluationPlan
from vireid_plugins.evaluation.protocols import PROTOCOLS, Protocol, protocols_of

SETS: dict[str, type[CrossModalityDataset]] = {"SYSUMM01": SYSUMM01, "RegDB": RegDB, "LLCM": LLCM}


@pytest.fixture
def copy(little_tree: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Copies a data set; returns its folder."""
    return lambda name: shutil.copytree(little_tree / SETS[name].dataset_dir, tmp_path / SETS[name].dataset_dir)


def planned(name: str, root: Path, *protocols: str) -> EvaluationPlan:
    return EvaluationPlan(SETS[name](root=str(root)), protocols_of(name, protocols)).draw()


@pytest.mark.parametrize("name", SETS)
def test_datasets_of_any_suffix_and_with_files_of_the_system_list_the_same_images(
    copy: Callable[[str], Path], name: str
) -> None:
    folder = copy(name)
    before = SETS[name](root=str(folder))
    counts = before.census()
    images = [Path(item[0]) for items in before.subsets().values() for item in items]
    for number, file in enumerate(images):
        file.rename(file.with_suffix((".PNG", ".jpeg", ".BMP", ".JPG")[number % 4]))
        for left in ("Thumbs.db", ".DS_Store", "._0001.jpg", "desktop.ini"):
            (file.parent / left).write_bytes(b"x")
        (file.parent / "@eaDir").mkdir(exist_ok=True)
    after = SETS[name](root=str(folder))
    assert after.census() == counts
    assert all(Path(item[0]).is_file() for items in after.subsets().values() for item in items)
    planned(name, folder)


@pytest.mark.parametrize(
    ("camera", "protocol"), [(1, "sysu/official/all/1shot"), (6, "sysu/official/all/1shot"), (1, "sysu/agw/all/1shot")]
)
def test_sysumm01_without_a_folder_that_the_draws_permute_is_one_error(
    copy: Callable[[str], Path], camera: int, protocol: str
) -> None:
    folder = copy("SYSUMM01")
    identity = next(i for i in SYSUMM01(root=str(folder)).test_ids if (folder / f"cam{camera}" / f"{i:04d}").is_dir())
    shutil.rmtree(folder / f"cam{camera}" / f"{identity:04d}")
    with pytest.raises(DataError, match=f"cam{camera}/{identity:04d}' is missing .* rand_perm_cam.mat permutes"):
        planned("SYSUMM01", folder, protocol)


def test_sysumm01_without_draws_plans_the_protocols_that_need_none(copy: Callable[[str], Path]) -> None:
    folder = copy("SYSUMM01")
    (folder / "exp" / "rand_perm_cam.mat").write_bytes(b"")
    planned("SYSUMM01", folder, "sysu/agw/all/1shot")
    identity = SYSUMM01(root=str(folder)).test_ids[0]
    for camera in folder.glob(f"cam*/{identity:04d}"):
        shutil.rmtree(camera)
    with pytest.raises(DataError, match=rf"test_id\.txt' names identities without an image in cameras .*: {identity};"):
        planned("SYSUMM01", folder, "sysu/agw/all/1shot")


def test_llcm_without_a_folder_that_a_test_list_names_is_one_error(copy: Callable[[str], Path]) -> None:
    folder = copy("LLCM")
    gone = next((folder / "test_nir").glob("cam*/*"))
    shutil.rmtree(gone)
    with pytest.raises(
        DataError, match=f"{gone.parent.name}/{gone.name}' is missing .*test_nir.txt' lists images of it"
    ):
        planned("LLCM", folder)
    (folder / "idx" / "test_nir.txt").unlink()
    for camera in (folder / "test_nir").glob(f"cam*/{gone.name}"):
        shutil.rmtree(camera)
    with pytest.raises(DataError, match=rf"test_id\.txt' names identities without .*test_nir': {int(gone.name)};"):
        planned("LLCM", folder)


def edited(file: Path, change: Callable[[str], str]) -> None:
    file.write_text(change(file.read_text()))


def train_on_tests(name: str, folder: Path) -> None:
    """Put test identities into the training lists."""
    if name == "SYSUMM01":
        edited(folder / "exp" / "train_id.txt", lambda text: f"{text.strip()},{SYSUMM01(root=str(folder)).test_ids[0]}")
    elif name == "RegDB":
        lines = (folder / "idx" / "test_visible_1.txt").read_text().split("\n")[:1]
        edited(folder / "idx" / "train_visible_1.txt", lambda text: "\n".join([*lines, text]))
    else:
        identity = LLCM(root=str(folder)).train[0][1]
        edited(folder / "idx" / "test_id.txt", lambda text: f"{text.strip()},{identity}")
        image = next((folder / "vis" / f"{identity:04d}").iterdir())
        for modality in ("vis", "nir"):
            target = folder / f"test_{modality}" / "cam1" / f"{identity:04d}"
            target.mkdir()
            shutil.copy(image, target / f"{identity:04d}_c01_s1_f1_{modality}.jpg")


CONFIGS = {"SYSUMM01": "SYSU/one_stream.yml", "RegDB": "RegDB/one_stream.yml", "LLCM": "LLCM/one_stream.yml"}


@pytest.mark.parametrize("name", SETS)
def test_trainer_refuses_to_train_on_test_identities(
    copy: Callable[[str], Path], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copy(name)
    monkeypatch.setenv("FASTREID_DATASETS", str(folder.parent))
    train_on_tests(name, folder)
    cfg = small_cfg(CONFIGS[name], "OUTPUT_DIR", str(folder.parent / "out"))
    lists = {"SYSUMM01": ("train_id.txt", "test_id.txt"), "RegDB": ("train_visible_1.txt", "test_visible_1.txt")}
    train, test = lists.get(name, ("train_vis.txt", "test_id.txt"))
    with pytest.raises(DataError, match=rf"trained on test identities: .*{train}.* and .*{test}.* share \d+;"):
        Trainer(cfg)
    assert not (folder.parent / "out").exists()


def test_require_separate_compares_sets_of_one_folder(little_tree: Path) -> None:
    with_val, without = (SYSUMM01(root=str(little_tree), train=name) for name in ("trainval", "train"))
    val = SYSUMM01Val(root=str(little_tree))
    require_separate([without], [val, without])
    require_separate([with_val], [RegDB(root=str(little_tree))])
    with pytest.raises(DataError, match=r"/val_id\.txt and .*/val_id\.txt share"):
        require_separate([with_val], [val])


def test_sysumm01_with_an_identity_in_both_training_lists_is_one_error(copy: Callable[[str], Path]) -> None:
    folder = copy("SYSUMM01")
    edited(
        folder / "exp" / "val_id.txt",
        lambda text: text + "," + (folder / "exp" / "train_id.txt").read_text().split(",")[0],
    )
    with pytest.raises(DataError, match=r"train_id\.txt' and .*val_id\.txt' both name identity \d+"):
        _ = SYSUMM01(root=str(folder)).train


@pytest.fixture
def cfg(little_root: Path) -> CfgNode:
    return small_cfg("SYSU/one_stream.yml", "SOLVER.IMS_PER_BATCH", "8")


@pytest.mark.parametrize("modality", ["VISIBLE", "INFRARED"])
def test_build_train_loader_without_a_view_is_one_error(cfg: CfgNode, modality: str) -> None:
    cfg.INPUT.VIEWS[modality] = []
    with pytest.raises(ConfigError, match=rf"INPUT\.VIEWS\.{modality}: .*no {modality.lower()} image .*\[\[\]\]"):
        build_train_loader(cfg)
    cfg.INPUT.VIEWS[modality] = [[]]
    build_train_loader(cfg)


def test_build_train_loader_warns_of_training_identities_without_images(
    copy: Callable[[str], Path], cfg: CfgNode, monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
) -> None:
    folder = copy("SYSUMM01")
    monkeypatch.setenv("FASTREID_DATASETS", str(folder.parent))
    gone = SYSUMM01(root=str(folder)).identities("train")[:2]
    for identity in gone:
        for camera in folder.glob(f"cam*/{identity:04d}"):
            shutil.rmtree(camera)
    cfg.merge_from_list(["SOLVER.IMS_PER_BATCH", "4", "DATALOADER.NUM_INSTANCE", "1"])
    build_train_loader(cfg)
    warned = {record.getMessage() for record in log.records if record.levelname == "WARNING"}
    assert warned == {f"'{folder}/exp/train_id.txt' names identities without an image: {gone[0]}, {gone[1]}"}


class Own(CrossModalityDataset):
    """A data set of another package: two people, one camera, items as they are given."""

    dataset_dir, layout, source, layout_name = "own", ("a.jpg",), "nowhere", "own"

    def __init__(self, root: str, query: Any = None, **_: Any) -> None:
        base = str(Path(root) / "own")
        items = [(f"{base}/{m}{i}.jpg", i, 1) for m in "vi" for i in (1, 2)]
        super().__init__(root, lambda: items, lambda: query or items[:2], lambda: items[2:])

    def modality(self, item: tuple[str, int, int]) -> int:
        return int(Path(item[0]).name.startswith("i"))

    def listings(self, modality: int, cameras: Any = None) -> list[tuple[int, int, list[str]]]:
        return [(item[1], item[2], [self.relative(item)]) for item in self.train if self.modality(item) == modality]


@pytest.fixture
def own_root(tmp_path: Path) -> Path:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "a.jpg").write_bytes(b"")
    return tmp_path


@pytest.mark.parametrize(
    "item",
    [
        ("{}/own/v1.jpg", "1", 1), ("{}/own/v1.jpg", 1, "c1"), ("own/v1.jpg", 1, 1), ("v1.jpg", 1, 1),
        ("{}/own/v1.jpg", 1.0, 1), ("{}/own/v1.jpg", 1, None), ("{}/own/v1.jpg", 1), ("{}/own/v1.jpg", True, 1),
        (Path("v1.jpg"), 1, 1), 3,
    ],
)  # fmt: skip
def test_datasets_of_ones_own_with_a_malformed_item_are_one_error(own_root: Path, item: Any) -> None:
    if isinstance(item, tuple) and isinstance(item[0], str):
        item = (item[0].format(own_root), *item[1:])
    dataset = Own(str(own_root), query=[item])
    with pytest.raises(DataError, match=r"Own: item 0 of query is .* must be .path, identity, camera. with"):
        EvaluationPlan(dataset, [])
    require_items(Own(str(own_root)), [(f"{own_root}/own/v1.jpg", np.int64(1), np.int32(1))], "train")


def test_require_items_of_fast_reids_own_sets_takes_texts_but_no_mixture(own_root: Path) -> None:
    dataset = ImageDataset([], [], [])
    require_items(dataset, [("a.jpg", "m_1", "m_0"), ("b.jpg", "m_2", 1)], "train")
    with pytest.raises(DataError, match=r"ImageDataset: item 1 of train is .* labels of one type"):
        require_items(dataset, [("a.jpg", "m_1", 0), ("b.jpg", 2, 0)], "train")


def test_datasets_of_a_single_camera_name_the_rule_that_leaves_no_match(own_root: Path) -> None:
    from vireid_plugins.errors import FeatureError
    from vireid_plugins.evaluation.evaluate import score

    plan = EvaluationPlan(Own(str(own_root)), [Protocol("own/v2i", "Own", "v2i", "ordinary", "same_camera", "")])
    paths = ["v1.jpg", "v2.jpg", "i1.jpg", "i2.jpg"]
    with pytest.raises(FeatureError, match=r'the camera rule drop="same_camera" .* need drop="none"'):
        score(np.eye(4), paths, plan)
    plan = EvaluationPlan(plan.dataset, [Protocol("own/v2i", "Own", "v2i", "ordinary", "none", "")])
    assert score(np.eye(4), paths, plan)[0].means["mAP"] == 75


def test_build_dataset_of_fast_reids_own_says_where_it_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTREID_DATASETS", str(tmp_path))
    assert "Market1501" in DATASET_REGISTRY._obj_map
    with pytest.raises(DataError, match=f"Market1501: .* is not found; set FASTREID_DATASETS .* now '{tmp_path}'"):
        build_dataset(small_cfg(), "Market1501")
    with pytest.raises(DataError, match=f"MSMT17: .* not found; set FASTREID_DATASETS .* now '{tmp_path}'"):
        build_dataset(small_cfg(), "MSMT17")


def test_every_protocol_of_a_complete_tree_is_planned(little_tree: Path) -> None:
    for name in SETS:
        plan = planned(name, little_tree)
        assert {protocol.name for protocol in plan.protocols} == {
            protocol.name for protocol in PROTOCOLS.values() if protocol.dataset == name
        }
