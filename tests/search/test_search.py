"""Search as a user does it: index a folder, find people, add and remove images."""

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import python, small_cfg
from PIL import Image

from vireid_plugins.data.datasets import SYSUMM01
from vireid_plugins.data.decode import read_image
from vireid_plugins.errors import ConfigError, DataError
from vireid_plugins.search import Extractor, guess_modality
from vireid_plugins.search import search as search_module
from vireid_plugins.search.gallery import Gallery, digest_of
from vireid_plugins.search.search import extractor_of, index_images, modality_by_folder
from vireid_plugins.visualize import extract


@pytest.fixture(scope="module")
def extractor(trained: Path) -> Extractor:
    return Extractor(small_cfg("SYSU/wrim.yml", "OUTPUT_DIR", str(trained)), batch=7)


@pytest.mark.usefixtures("data_root")
def test_extract_gives_the_features_of_the_evaluation(extractor: Extractor, trained: Path) -> None:
    """Which flips and normalises for itself; the order of rows and batches does not matter."""
    found = extract(small_cfg("SYSU/wrim.yml", "OUTPUT_DIR", str(trained)))
    dataset = found.dataset
    files = [dataset.folder / path for path in found.paths[::5]]
    modalities = [int(path.split("/")[0] in ("cam3", "cam6")) for path in found.paths[::5]]
    expected = found.features[::5] / np.linalg.norm(found.features[::5], axis=1, keepdims=True)
    np.testing.assert_allclose(extractor(files, modalities), expected, rtol=1e-3, atol=1e-5)
    assert extractor([], "visible").shape[0] == 0


def test_extractor_gives_pictures_of_any_kind_the_same_features(extractor: Extractor, tree: Path) -> None:
    file = next((tree / "SYSU-MM01" / "cam1").glob("*/*.jpg"))
    opened = Image.open(file)
    every = [file, str(file), opened, np.asarray(opened)]
    rows = extractor(every, "visible")
    np.testing.assert_allclose(rows, rows[:1].repeat(4, 0), atol=1e-6)
    assert torch.allclose(torch.from_numpy(rows).norm(dim=1), torch.ones(4))
    assert not np.allclose(rows[0], extractor([file], "infrared")[0])


def test_extractor_of_wrong_pictures_or_modalities_is_one_error(extractor: Extractor, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="modality: unknown value 'thermal'; available: infrared, visible"):
        extractor([], "thermal")
    with pytest.raises(ConfigError, match="2 images need one number each"):
        extractor([np.zeros((4, 4, 3), np.uint8)] * 2, [0])
    with pytest.raises(DataError, match=r"an array must be \(H, W, 3\) uint8; got \(4, 4\)"):
        extractor([np.zeros((4, 4), np.uint8)], "visible")
    (tmp_path / "torn.jpg").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"torn\.jpg' cannot be read"):
        extractor([tmp_path / "torn.jpg"], "visible")


def test_guess_modality_is_right_on_every_layout(tree: Path) -> None:
    places = {"SYSU-MM01/cam[1245]/*/*.jpg": 0, "SYSU-MM01/cam[36]/*/*.jpg": 1, "RegDB/Visible/*/*.bmp": 0,
              "RegDB/Thermal/*/*.bmp": 1, "LLCM/vis/*/*.jpg": 0, "LLCM/nir/*/*.jpg": 1}  # fmt: skip
    for pattern, modality in places.items():
        guesses = [guess_modality(read_image(str(file), (64, 32))) for file in sorted(tree.glob(pattern))[:40]]
        assert guesses
        assert np.mean([guess.modality == modality for guess in guesses]) > 0.97
        assert all(0.5 <= guess.probability <= 1 for guess in guesses)
    gray = guess_modality(np.full((4, 4, 3), 90, np.uint8))
    assert gray.modality == 1
    assert gray.probability > 0.99
    unsure = guess_modality(np.full((4, 4, 3), (90, 95, 92), np.uint8))
    assert unsure.probability < 0.6


def test_modality_by_folder_goes_by_a_name_in_the_path_or_is_one_error(tmp_path: Path) -> None:
    assert modality_by_folder(tmp_path / "night_cam" / "a.jpg", tmp_path) == 1
    assert modality_by_folder(tmp_path / "RGB" / "7" / "a.jpg", tmp_path) == 0
    for folder, problem in (("cam", "no folder name of a modality"), ("rgb/ir", "folder names of both modalities")):
        with pytest.raises(DataError, match=f"its path has {problem}; folder names are visible: "):
            modality_by_folder(tmp_path / folder / "a.jpg", tmp_path)


def search(command: str, folder: Path, *words: str) -> Any:
    return python("tools/search.py", command, str(folder), *words)


def test_search_indexes_queries_adds_and_removes(tree: Path, trained: Path, tmp_path: Path) -> None:
    dataset = SYSUMM01(root=str(tree))
    gallery, index = tmp_path / "gallery", ["--index", str(tmp_path / "index")]
    for number, item in enumerate(dataset.gallery[:40]):
        target = gallery / f"person{item[1]}" / f"{number}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(item[0], target)
    model = ["--config-file", str(trained / "config.yaml")]
    made = search("index", gallery, *index, *model)
    assert made.returncode == 0, made.stderr
    assert "40 added, 0 unchanged, 0 removed; 40 images, flat index, recall@10 1.000" in made.stdout

    # The image itself is nearest to itself, and an infrared folder can be asked for.
    same = gallery / f"person{dataset.gallery[3][1]}" / "3.jpg"
    asked = search("query", same, *index, "--top", "5", "--json", str(tmp_path / "q.json"))
    assert asked.returncode == 0, asked.stderr
    (one,) = json.loads((tmp_path / "q.json").read_text())["queries"]
    assert one["hits"][0]["path"] == str(same)
    assert one["hits"][0]["similarity"] == pytest.approx(1, abs=1e-4)
    assert [hit["rank"] for hit in one["hits"]] == [1, 2, 3, 4, 5]
    assert "visible" in asked.stdout
    infrared = tmp_path / "night"
    infrared.mkdir()
    for number, item in enumerate(dataset.query[:3]):
        shutil.copy(item[0], infrared / f"{number}.jpg")
    asked = search("query", infrared, *index, "--modality", "folder", "--picture", str(tmp_path / "q.png"))
    assert asked.returncode == 0, asked.stderr
    assert asked.stdout.count("(infrared, 100% sure)") == 3
    assert Image.open(tmp_path / "q.png").width > 500

    # Bring it up to date: one image gone, one new, one changed.
    removed, changed = gallery / f"person{dataset.gallery[0][1]}" / "0.jpg", same
    removed.unlink()
    shutil.copy(dataset.gallery[50][0], gallery / "new.jpg")
    shutil.copy(dataset.gallery[60][0], changed)
    again = search("index", gallery, *index, *model)
    assert "2 added, 38 unchanged, 1 removed; 40 images" in again.stdout, again.stderr
    asked = search("query", gallery / "new.jpg", *index, "--json", str(tmp_path / "q.json"))
    (one,) = json.loads((tmp_path / "q.json").read_text())["queries"]
    assert one["hits"][0]["path"] == str(gallery / "new.jpg")
    assert str(removed) not in [hit["path"] for hit in one["hits"]]

    refused = search("index", gallery, "--index", str(gallery), *model)
    assert refused.returncode == 1
    assert "exists and is not a gallery" in refused.stderr
    assert changed.is_file()

    gone = search("remove", gallery / "new.jpg", *index)
    assert "removed 1; 39 images" in gone.stdout, gone.stderr
    again = search("remove", gallery / "new.jpg", *index)
    assert again.returncode == 1
    assert "has no image there" in again.stderr


def test_index_images_with_keys_that_change_the_features_is_refused(
    extractor: Extractor, tree: Path, tmp_path: Path
) -> None:
    """The vectors of one gallery are of one kind; averaged weights are in the same file as the others."""
    folder = tmp_path / "images"
    folder.mkdir()
    shutil.copy(SYSUMM01(root=str(tree)).gallery[0][0], folder)
    index_images(extractor, folder, tmp_path / "index", "visible")
    for key, value in {
        "INPUT.SIZE_TEST": "[96, 48]",
        "MODEL.WEIGHTS_AVERAGED": "False",
        "TEST.FLIP.ENABLED": str(not extractor.cfg.TEST.FLIP.ENABLED),
        "MODEL.HEADS.NECK_FEAT": "other",
    }.items():
        other = copy.copy(extractor)
        other.cfg = extractor.cfg.clone()
        other.cfg.merge_from_list([key, value])
        with pytest.raises(DataError, match=rf"index' was made with other keys, then -> now: {key}: .* -> .*use its k"):
            index_images(other, folder, tmp_path / "index", "visible")
    other.cfg = extractor.cfg.clone()
    other.cfg.merge_from_list(["OUTPUT_DIR", "elsewhere", "SOLVER.BASE_LR", "1.0", "TEST.PROTOCOLS", "[]"])
    index_images(other, folder, tmp_path / "index", "visible")


@pytest.mark.parametrize("decay", [0.0, 0.9])
def test_extractor_of_a_gallery_of_an_earlier_commit_takes_the_weights_it_was_made_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decay: float
) -> None:
    (tmp_path / "w.pth").write_bytes(b"")
    config = f"SOLVER:\n  EMA_DECAY: {decay}\n"
    note = {"weights": str(tmp_path / "w.pth"), "sha256": digest_of(tmp_path / "w.pth"), "config": config}
    monkeypatch.setattr(search_module, "Extractor", lambda cfg: cfg.MODEL.WEIGHTS_AVERAGED)
    assert extractor_of(Gallery(4, note)) is (decay > 0)
    note["config"] += "MODEL:\n  WEIGHTS_AVERAGED: True\n"
    assert extractor_of(Gallery(4, note)) is True


def test_search_with_other_weights_is_refused(tree: Path, trained: Path, tmp_path: Path) -> None:
    images = tree / "SYSU-MM01" / "cam1"
    weights = tmp_path / "weights.pth"
    shutil.copy(trained / "model_final.pth", weights)
    config = ["--config-file", str(trained / "config.yaml")]
    words = ["--index", str(tmp_path / "index"), *config, "--modality", "visible"]
    made = search("index", images, *words, "--weights", str(weights))
    assert made.returncode == 0, made.stderr
    checkpoint = torch.load(weights, weights_only=True)
    next(iter(checkpoint["model"].values())).add_(1)
    torch.save(checkpoint, weights)
    asked = search("query", images, "--index", str(tmp_path / "index"))
    assert asked.returncode == 1
    assert "have changed since the gallery was made" in asked.stderr
    again = search("index", images, *words, "--weights", str(weights))
    assert again.returncode == 1
    assert "choose another folder with --index" in again.stderr
    weights.unlink()
    asked = search("query", images, "--index", str(tmp_path / "index"))
    assert "which no longer exist" in asked.stderr
