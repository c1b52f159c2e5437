"""Search as a user does it: index a folder, find people, add and remove images."""

import copy
import json
import os
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
from vireid_plugins.errors import ConfigError, DataError, FeatureError
from vireid_plugins.search import Extractor, Gallery, guess_modality, model_of
from vireid_plugins.search import search as search_module
from vireid_plugins.search.gallery_files import writing
from vireid_plugins.search.model_of import digest_of, extractor_of, weights_of
from vireid_plugins.search.search import Indexed, index_images, modality_by_folder, query_images, remove_images
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


def test_extractor_applies_the_orientation_of_files_and_of_pillow_images(extractor: Extractor, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (48, 24, 3)).astype(np.uint8)
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=turned)
    rows = extractor([tmp_path / "a.png", Image.open(tmp_path / "a.png"), np.rot90(pixels, -1)], "visible")
    np.testing.assert_allclose(rows, rows[:1].repeat(3, 0), atol=1e-6)
    assert not np.allclose(rows[0], extractor(pixels, "visible")[0], atol=1e-2)


def test_extractor_takes_a_single_picture_and_modalities_by_name(extractor: Extractor, tree: Path) -> None:
    file = next((tree / "SYSU-MM01" / "cam1").glob("*/*.jpg"))
    opened = Image.open(file)
    expected = extractor([file], "visible")
    for one in (str(file), file, opened, np.asarray(opened)):
        np.testing.assert_allclose(extractor(one, "visible"), expected, atol=1e-6)
    both = extractor(np.stack([np.asarray(opened)] * 2), ["visible", "infrared"])
    np.testing.assert_allclose(both, extractor([file, file], [0, 1]), atol=1e-6)


NO_PICTURES = {
    "float": (np.full((4, 4, 3), np.nan), r"got \(4, 4, 3\) float64; convert numbers from 0 to 1"),
    "channels first": (np.zeros((3, 8, 8), np.uint8), r"got \(3, 8, 8\) uint8; the channels come last"),
    "four channels": (np.zeros((8, 8, 4), np.uint8), r"got \(8, 8, 4\) uint8$"),
    "empty": (np.zeros((0, 8, 3), np.uint8), r"got \(0, 8, 3\) uint8; it is empty"),
    "in a list": ([np.zeros((8, 8), np.uint8)], "repeat a single channel three times"),
    "None": ([None], "a picture must be a file, a Pillow image, a uint8 array .*; got NoneType"),
    "a number": (3, "in a list; got int"),
    "bytes": (b"jpeg", "in a list; got bytes"),
}


@pytest.mark.parametrize("kind", NO_PICTURES)
def test_extractor_of_what_is_no_picture_is_one_error(kind: str, extractor: Extractor) -> None:
    pictures, said = NO_PICTURES[kind]
    with pytest.raises(DataError, match=said):
        extractor(pictures, "visible")


def test_extractor_of_a_path_instead_of_a_configuration_is_one_error() -> None:
    with pytest.raises(ConfigError, match=r"takes a configuration, not 'g/1\.jpg'; use Extractor\.from_files"):
        Extractor("g/1.jpg")  # type: ignore[arg-type]


def test_extractor_with_weights_that_are_not_finite_is_one_error(
    extractor: Extractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    for value in (np.nan, 0):
        monkeypatch.setattr(extractor, "model", lambda batch, value=value: torch.full((1, 4), float(value)))
        with pytest.raises(FeatureError, match=r"model_final\.pth' make features that are zero or not finite"):
            extractor(np.zeros((8, 8, 3), np.uint8), "visible")


class Colors:
    """An extractor whose features are the mean colors of images, with weights of its own."""

    batch = 2

    def __init__(self, weights: Path, *overrides: str) -> None:
        self.weights, self.cfg = weights, small_cfg("SYSU/one_stream.yml", *overrides)
        if not weights.exists():
            weights.write_bytes(b"weights")

    def pixels(self, file: Path) -> np.ndarray:
        return read_image(str(file), (8, 8))

    def features(self, images: list[np.ndarray], modalities: list[int]) -> np.ndarray:
        rows = np.stack([image.mean((0, 1)) for image in images]).astype(np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def paint(root: Path, *names: str) -> None:
    """Write images, each in a color of its own."""
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (200, 20 + 9 * number, 90)).save(root / name)


@pytest.fixture
def colors(tmp_path: Path) -> Any:
    return Colors(tmp_path / "weights.pth")


def indexed(colors: Any, folder: Path) -> Indexed:
    return index_images(colors, folder, folder.parent / "index", "visible")


def names_in(index: Path) -> list[str]:
    return sorted(Path(entry.path).name for entry in Gallery.load(index).entries.values())


def test_index_images_keeps_the_good_ones_and_names_the_bad_ones(colors: Any, tmp_path: Path) -> None:
    paint(tmp_path / "g", "1.jpg", "2.jpg", "3.jpg")
    (tmp_path / "g" / "0.jpg").touch()
    (tmp_path / "g" / "gone.jpg").symlink_to("/nowhere.jpg")
    (tmp_path / "g" / "notes.gif").touch()
    done = indexed(colors, tmp_path / "g")
    assert done.counts == {"added": 3, "unchanged": 0, "removed": 0}
    assert sorted(one.file.name for one in done.unread) == ["0.jpg", "gone.jpg"]
    assert done.left_out == {".gif": 1}
    assert names_in(tmp_path / "index") == ["1.jpg", "2.jpg", "3.jpg"]
    # An image that cannot be read any more is neither added nor removed.
    (tmp_path / "g" / "2.jpg").write_bytes(b"torn")
    assert indexed(colors, tmp_path / "g").counts["removed"] == 0
    assert names_in(tmp_path / "index") == ["1.jpg", "2.jpg", "3.jpg"]
    results, unread = query_images(Gallery.load(tmp_path / "index"), colors, tmp_path / "g", "visible", 1)
    assert [Path(one.hits[0].path).name for one in results] == ["1.jpg", "3.jpg"]
    assert len(unread) == 3


@pytest.mark.parametrize(("together", "searched"), [(1, [2, 2, 1]), (3, [4, 1]), (512, [5])])
def test_query_images_searches_many_at_once_and_keeps_their_order(
    colors: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, together: int, searched: list[int]
) -> None:
    """Batches of two images go through the network."""
    paint(tmp_path / "g", *(f"{number}.jpg" for number in range(5)))
    gallery, asked = indexed(colors, tmp_path / "g").gallery, []
    monkeypatch.setattr(search_module, "SEARCHED", together)
    search = Gallery.search
    monkeypatch.setattr(Gallery, "search", lambda self, rows, top: asked.append(len(rows)) or search(self, rows, top))
    results, _ = query_images(gallery, colors, tmp_path / "g", "visible", 1)
    assert asked == searched
    assert [Path(one.hits[0].path).name for one in results] == [f"{number}.jpg" for number in range(5)]
    assert all(one.query == one.hits[0].path for one in results)


def test_index_images_of_bad_ones_alone_writes_nothing(colors: Any, tmp_path: Path) -> None:
    paint(tmp_path / "g", "1.jpg")
    (tmp_path / "g" / "1.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"no image in '.*g' can be read: not read: '.*1\.jpg'"):
        indexed(colors, tmp_path / "g")
    assert not (tmp_path / "index").exists()


def test_index_images_of_one_folder_under_several_spellings_is_one(colors: Any, tmp_path: Path) -> None:
    paint(tmp_path / "k", "1.jpg", "2.jpg")
    (tmp_path / "x").mkdir()
    (tmp_path / "link").symlink_to("k")
    for spelling in ("k", "x/../k", "link"):
        index_images(colors, tmp_path / spelling, tmp_path / "index", "visible")
        assert names_in(tmp_path / "index") == ["1.jpg", "2.jpg"]
    (tmp_path / "k" / "1.jpg").unlink()
    assert index_images(colors, tmp_path / "link", tmp_path / "index", "visible").counts["removed"] == 1
    for spelling in ("x/../k", "link", "k/2.jpg", "link/2.jpg"):
        indexed(colors, tmp_path / "k")
        assert remove_images(tmp_path / "index", tmp_path / spelling)[1] == 1


def test_index_images_follows_links_and_notices_what_is_gone_behind_them(colors: Any, tmp_path: Path) -> None:
    paint(tmp_path, "g/1.jpg", "h/2.jpg", "h/sub/3.jpg")
    (tmp_path / "g" / "h").symlink_to("../h")
    assert len(indexed(colors, tmp_path / "g").gallery) == 3
    shutil.rmtree(tmp_path / "h" / "sub")
    assert indexed(colors, tmp_path / "g").counts["removed"] == 1
    # The target of the link is gone, as when a disk is not mounted: its images stay.
    (tmp_path / "h").rename(tmp_path / "away")
    done = indexed(colors, tmp_path / "g")
    assert (done.counts["removed"], [one.file.name for one in done.unread]) == (0, ["h"])
    # As a folder on which nothing is mounted.
    (tmp_path / "h").mkdir()
    done = indexed(colors, tmp_path / "g")
    assert (done.counts["removed"], [one.reason for one in done.unread]) == (
        0,
        ["it is empty, but the gallery has 1 images from there; is it mounted?"],
    )
    (tmp_path / "h").rmdir()
    (tmp_path / "away").rename(tmp_path / "h")
    assert indexed(colors, tmp_path / "g").counts == {"added": 0, "unchanged": 2, "removed": 0}
    # Without the link they are gone.
    (tmp_path / "g" / "h").unlink()
    assert indexed(colors, tmp_path / "g").counts["removed"] == 1


def test_index_images_of_a_folder_that_looks_unmounted_removes_nothing(
    colors: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paint(tmp_path, "g/1.jpg", "g/sub/2.jpg")
    indexed(colors, tmp_path / "g")
    (tmp_path / "g").rename(tmp_path / "away")
    with pytest.raises(DataError, match=r"does not exist.*The gallery has 2 images from there, and they stay.*remove"):
        indexed(colors, tmp_path / "g")
    (tmp_path / "g").mkdir()
    with pytest.raises(DataError, match=r"contains no image.*The gallery has 2 images from there, and they stay"):
        indexed(colors, tmp_path / "g")
    (tmp_path / "g").rmdir()
    (tmp_path / "away").rename(tmp_path / "g")
    real = os.scandir

    def scandir(folder: Path) -> object:
        if folder.name == "sub":
            raise PermissionError(13, "Permission denied", str(folder))
        return real(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    done = indexed(colors, tmp_path / "g")
    assert (done.counts["removed"], [one.reason for one in done.unread]) == (0, ["Permission denied"])
    monkeypatch.undo()
    # The images have moved, and their gallery has not.
    (tmp_path / "g").rename(tmp_path / "elsewhere")
    assert indexed(colors, tmp_path / "elsewhere").moved == {f"{tmp_path}/g": 2}
    assert remove_images(tmp_path / "index", tmp_path / "g")[1] == 2
    assert names_in(tmp_path / "index") == ["1.jpg", "2.jpg"]


def test_index_images_that_is_interrupted_keeps_what_is_done(colors: Any, tmp_path: Path) -> None:
    paint(tmp_path / "g", *(f"{n}.jpg" for n in range(6)))

    def stop(done: int, total: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        index_images(colors, tmp_path / "g", tmp_path / "index", "visible", stop)
    assert names_in(tmp_path / "index") == ["0.jpg", "1.jpg", "2.jpg", "3.jpg"]
    assert indexed(colors, tmp_path / "g").counts == {"added": 2, "unchanged": 4, "removed": 0}


def test_index_images_into_a_gallery_of_another_model_is_refused(colors: Any, tmp_path: Path) -> None:
    paint(tmp_path / "g", "1.jpg")
    indexed(colors, tmp_path / "g")
    other = Colors(tmp_path / "weights.pth", "INPUT.SIZE_TEST", "[96, 32]", "SOLVER.BASE_LR", "1.0")
    with pytest.raises(DataError, match=r"other keys, then -> now: INPUT.SIZE_TEST"):
        indexed(other, tmp_path / "g")
    with writing(tmp_path / "index"):
        assert index_images(
            Colors(tmp_path / "weights.pth", "SOLVER.BASE_LR", "1.0", "TEST.AQE.ENABLED", "True"),  # type: ignore[arg-type]
            tmp_path / "g",
            tmp_path / "index",
            "visible",
        ).counts == {"added": 0, "unchanged": 1, "removed": 0}


def test_extractor_of_a_gallery_finds_weights_that_moved_and_the_device_there_is(trained: Path, tmp_path: Path) -> None:
    """Also where the gallery was made on a device that this machine lacks."""
    (tmp_path / "old" / "run").mkdir(parents=True)
    shutil.copy(trained / "model_final.pth", tmp_path / "old" / "run" / "w.pth")
    paint(tmp_path / "g", "1.jpg")
    weights = str(tmp_path / "old" / "run" / "w.pth")
    made = Extractor(small_cfg("SYSU/wrim.yml", "MODEL.WEIGHTS", weights))
    index_images(made, tmp_path / "g", tmp_path / "old" / "index", "visible")
    note = tmp_path / "old" / "index" / "gallery.json"
    note.write_text(note.read_text().replace("DEVICE: cpu", "DEVICE: cuda:63"))
    (tmp_path / "old").rename(tmp_path / "new")
    gallery = Gallery.load(tmp_path / "new" / "index")
    place = tmp_path / "new" / "run" / "w.pth"
    found = extractor_of(gallery)
    assert (found.weights, found.cfg.MODEL.DEVICE) == (place, "cpu")
    # Beside the gallery, and inside it.
    for new in ("new/w.pth", "new/index/w.pth"):
        place = place.rename(tmp_path / new)
        assert weights_of(gallery) == place
    place.rename(tmp_path / "other.pth")
    with pytest.raises(DataError, match="which no longer exist; if they have moved, name their file: --weights FILE"):
        extractor_of(gallery)
    assert weights_of(gallery, str(tmp_path / "other.pth")) == tmp_path / "other.pth"


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
    copy = gallery / f"person{dataset.gallery[3][1]}" / "3.jpg"
    asked = search("query", copy, *index, "--top", "5", "--json", str(tmp_path / "q.json"))
    assert asked.returncode == 0, asked.stderr
    (one,) = json.loads((tmp_path / "q.json").read_text())["queries"]
    assert one["hits"][0]["path"] == str(copy)
    assert one["hits"][0]["similarity"] == pytest.approx(1, abs=1e-4)
    assert [hit["rank"] for hit in one["hits"]] == [1, 2, 3, 4, 5]
    assert "visible" in asked.stdout
    infrared = tmp_path / "night"
    infrared.mkdir()
    for number, item in enumerate(dataset.query[:3]):
        shutil.copy(item[0], infrared / f"{number}.jpg")
    asked = search("query", infrared, *index, "--modality", "folder", "--picture", str(tmp_path / "q.png"))
    assert asked.returncode == 0, asked.stderr
    assert asked.stdout.count("(infrared)") == 3
    assert Image.open(tmp_path / "q.png").width > 500

    # Bring it up to date: one image gone, one new, one changed.
    removed, changed = gallery / f"person{dataset.gallery[0][1]}" / "0.jpg", copy
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
    monkeypatch.setattr(model_of, "Extractor", lambda cfg: cfg.MODEL.WEIGHTS_AVERAGED)
    assert extractor_of(Gallery(4, note)) is (decay > 0)
    note["config"] += "MODEL:\n  WEIGHTS_AVERAGED: True\n"
    assert extractor_of(Gallery(4, note)) is True
