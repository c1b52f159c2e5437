"""Images of one's own that nobody has labeled."""

from pathlib import Path

import numpy as np
import pytest
from helpers import small_cfg
from PIL import Image

from vireid_plugins.data import build_train_loader
from vireid_plugins.data.datasets import UnlabeledFolder
from vireid_plugins.data.datasets.unlabeled_folder import named_modality
from vireid_plugins.errors import ConfigError, DataError


def write(file: Path, colored: bool = True, seed: int = 0) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    blocks = np.random.default_rng(seed).integers(40, 220, (16, 8, 3), dtype=np.uint8)
    if not colored:
        blocks = np.repeat(blocks[..., :1], 3, axis=-1)
    Image.fromarray(blocks.repeat(8, 0).repeat(8, 1)).save(file)


def test_unlabeled_folder_reads_visible_and_infrared_and_no_identity(tmp_path: Path) -> None:
    for name in ("visible/0001/a.png", "visible/b.png", "infrared/c.png", "infrared/x/y/d.png"):
        write(tmp_path / name)
    dataset = UnlabeledFolder(place=str(tmp_path))
    assert [(Path(path).name, dataset.modality(item)) for item in dataset.train for path in item[:1]] == [
        *(("a.png", 0), ("b.png", 0), ("c.png", 1), ("d.png", 1))
    ]
    assert {item[1] for item in dataset.train} == {-1}
    assert len({item[2] for item in dataset.train}) == 2
    assert not dataset.query
    assert not dataset.gallery
    assert not dataset.labeled


def test_unlabeled_folder_guesses_the_modality_of_each_image_of_a_camera(
    tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    """A camera that turns infrared at night, and one image of a single gray, which is neither."""
    for number in range(3):
        write(tmp_path / "door" / f"day{number}.png", True, number)
        write(tmp_path / "door" / f"night{number}.png", False, number)
    (tmp_path / "hall").mkdir()
    Image.new("RGB", (32, 64), (0, 0, 0)).save(tmp_path / "hall" / "dark.png")
    write(tmp_path / "hall_ir" / "gray.png", True)
    dataset = UnlabeledFolder(place=str(tmp_path))
    found = {Path(item[0]).name: (item[2], dataset.modality(item)) for item in dataset.train}
    assert found == {
        **{f"day{number}.png": (1, 0) for number in range(3)},
        **{f"night{number}.png": (1, 1) for number in range(3)},
        "gray.png": (3, 1),
    }
    dataset.warn_of_gaps()
    assert "1 of 8 images" in log.text
    assert "dark.png" in log.text


def test_unlabeled_folder_says_which_images_it_leaves_out(tmp_path: Path, log: pytest.LogCaptureFixture) -> None:
    """Names that differ only in their suffix are two images: no list names them."""
    for name in ("visible/1.png", "visible/1.jpg", "infrared/1.tif", "infrared/2.TIFF", "infrared/3.bmp", "loose.png"):
        write(tmp_path / name)
    (tmp_path / "visible" / "crops.csv").write_text("file\n")
    dataset = UnlabeledFolder(place=str(tmp_path))
    dataset.warn_of_gaps()
    assert [Path(item[0]).name for item in dataset.train] == ["1.jpg", "1.png", "3.bmp"]
    assert "since training reads .jpg, .jpeg, .png, .bmp: 1 .tif, 1 .tiff; convert them" in log.text
    assert f"images in '{tmp_path}' itself are left out (1, the first: '{tmp_path / 'loose.png'}')" in log.text


@pytest.mark.parametrize(
    ("name", "modality"),
    [("visible", 0), ("IR", 1), ("cam3_rgb", 0), ("thermal-2", 1), ("cam1", None), ("day_ir", None), ("t", None)],
)
def test_named_modality_is_a_word_of_the_name(name: str, modality: int | None) -> None:
    assert named_modality(name) == modality


@pytest.mark.parametrize(("made", "text"), [("", "does not exist"), ("empty", "has no folder in it")])
def test_unlabeled_folder_without_folders_is_one_error(tmp_path: Path, made: str, text: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=text):
        UnlabeledFolder(place=str(tmp_path / (made or "none")))


def test_unlabeled_folder_of_one_modality_or_few_images_is_one_error(tmp_path: Path) -> None:
    for number in range(9):
        write(tmp_path / "visible" / f"{number}.png")
    (tmp_path / "infrared").mkdir()
    overrides = [
        *("DATASETS.OWN.ROOT", str(tmp_path), "DATALOADER.APART.IDENTITIES", "[8, 2]", "SOLVER.IMS_PER_BATCH", "20"),
    ]
    with pytest.raises(DataError, match="no infrared images"):
        build_train_loader(small_cfg("own/adca.yml", *overrides))
    write(tmp_path / "infrared" / "one.png")
    with pytest.raises(DataError, match="has 1 infrared images, but a batch needs 2 clusters of them"):
        build_train_loader(small_cfg("own/adca.yml", *overrides))


def test_unlabeled_folder_is_not_scored_and_not_trained_with_identities(tmp_path: Path) -> None:
    from vireid_plugins.config import check_config

    check_config(small_cfg("own/adca.yml"))
    with pytest.raises(ConfigError, match="UnlabeledFolder has no identities, so it cannot be scored"):
        check_config(small_cfg("own/adca.yml", "DATASETS.TESTS", "('UnlabeledFolder',)"))
    with pytest.raises(ConfigError, match=r"DATASETS.TESTS: needs one or more"):
        check_config(small_cfg("SYSU/agw.yml", "DATASETS.TESTS", "()"))
    for number in range(9):
        write(tmp_path / "visible" / f"{number}.png")
        write(tmp_path / "infrared" / f"{number}.png")
    cfg = small_cfg("own/agw.yml", "DATASETS.NAMES", "('UnlabeledFolder',)", "DATASETS.OWN.ROOT", str(tmp_path))
    with pytest.raises(DataError, match="UnlabeledFolder has no identities"):
        build_train_loader(cfg)
