"""Features of pictures of every kind."""

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import small_cfg
from PIL import Image

from vireid_plugins.errors import ConfigError, DataError, FeatureError
from vireid_plugins.search import Extractor
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
    # Pillow decodes what it has opened only where its pixels are needed.
    Image.effect_noise((64, 64), 50).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:500])
    with (
        Image.open(tmp_path / "cut.png") as picture,
        pytest.raises(DataError, match="an image cannot be read: image file is truncated"),
    ):
        extractor([picture], "visible")


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
