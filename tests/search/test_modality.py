"""Modalities by names and by colors."""

import io
from pathlib import Path

import numpy as np
import pytest
import sklearn.datasets
from matplotlib.cbook import get_sample_data
from PIL import Image

from vireid_plugins.data.decode import read_image
from vireid_plugins.errors import DataError
from vireid_plugins.search import guess_modality
from vireid_plugins.search.modality import modality_by_folder


def test_guess_modality_is_right_on_every_layout(tree: Path) -> None:
    places = {"SYSU-MM01/cam[1245]/*/*.jpg": 0, "SYSU-MM01/cam[36]/*/*.jpg": 1, "RegDB/Visible/*/*.bmp": 0,
              "RegDB/Thermal/*/*.bmp": 1, "LLCM/vis/*/*.jpg": 0, "LLCM/nir/*/*.jpg": 1}  # fmt: skip
    for pattern, modality in places.items():
        guesses = [guess_modality(read_image(str(file), (64, 32))) for file in sorted(tree.glob(pattern))[:40]]
        assert guesses
        assert np.mean([guess.modality == modality for guess in guesses]) > 0.97
        assert np.mean([guess.sure for guess in guesses]) > 0.5
        assert all(guess.modality == modality for guess in guesses if guess.sure)
        assert all(0.5 <= guess.certainty <= 1 for guess in guesses)


def photographs() -> list[Image.Image]:
    """Return person-sized crops of two photographs that scikit-learn brings and of one of matplotlib's."""
    files = [*Path(sklearn.datasets.__file__).parent.glob("images/*.jpg"), get_sample_data("grace_hopper.jpg", False)]
    found = []
    for file in map(str, files):
        image = Image.open(file)
        width = image.width // 4
        found += [
            image.crop((left, 30, left + width, 30 + 2 * width)).resize((144, 288))
            for left in range(0, image.width - width, width // 2)
            if 30 + 2 * width <= image.height
        ]
    return found


def as_jpeg(pixels: np.ndarray, quality: int) -> np.ndarray:
    """Return pixels as a JPEG with half as many colors a side gives them back."""
    stream = io.BytesIO()
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(stream, "JPEG", quality=quality, subsampling=2)
    return np.asarray(Image.open(stream).convert("RGB"))


def infrared(image: Image.Image, tint: tuple[float, float, float]) -> np.ndarray:
    return np.asarray(image.convert("L"), float)[..., None] * tint


def dark(image: Image.Image, share: float) -> np.ndarray:
    """Return a photograph at night: less light, and a sensor's noise in every channel."""
    light = np.asarray(image, float) ** 2.2 * share + np.random.default_rng(0).normal(0, 400, (288, 144, 3))
    return light.clip(0) ** (1 / 2.2)


SEPIA, PURPLE, SLIGHT = (1.0, 0.86, 0.67), (1.03, 0.97, 1.03), (1.01, 1.0, 0.99)


@pytest.mark.parametrize("quality", [30, 75, 95])
def test_guess_modality_of_photographs_is_sure_of_none_that_it_has_wrong(quality: int) -> None:
    sure: dict[str, list[bool]] = {}
    for image in photographs():
        pixels = np.asarray(image.convert("RGB"), float)
        faded = pixels.mean(-1, keepdims=True) + 0.4 * (pixels - pixels.mean(-1, keepdims=True))
        for kind, variant in {"colors": pixels, "faded": faded, "dark": dark(image, 0.1)}.items():
            guess = guess_modality(as_jpeg(variant, quality))
            assert guess.modality == 0 or not guess.sure, (kind, guess)
            sure.setdefault(kind, []).append(guess.sure)
        guess = guess_modality(as_jpeg(infrared(image, SEPIA), quality))
        assert guess.modality == 0 or not guess.sure, guess
        for tint in ((1.0, 1.0, 1.0), SLIGHT, PURPLE):
            guess = guess_modality(as_jpeg(infrared(image, tint), quality))
            assert guess.modality == 1 or not guess.sure, (tint, guess)
            sure.setdefault(str(tint), []).append(guess.sure)
    assert np.mean(sure["colors"]) > 0.9
    assert np.mean(sure[str((1.0, 1.0, 1.0))]) == 1


def test_guess_modality_of_what_tells_little_is_unsure() -> None:
    rng = np.random.default_rng(0)
    gray = guess_modality(np.full((4, 4, 3), 90, np.uint8))
    assert (gray.modality, gray.sure) == (1, True)
    assert not guess_modality(np.full((4, 4, 3), 9, np.uint8)).sure
    little = 90 + rng.normal(0, 1.0, (4, 4, 3))
    assert not guess_modality(little.round().astype(np.uint8)).sure
    one_light = rng.uniform(20, 255, (64, 32, 1)) * (1, 0.2, 0.2)
    assert not guess_modality(one_light.astype(np.uint8)).sure


def test_modality_by_folder_goes_by_a_name_in_the_path_or_is_one_error(tmp_path: Path) -> None:
    assert modality_by_folder(tmp_path / "night_cam" / "a.jpg", tmp_path) == 1
    assert modality_by_folder(tmp_path / "RGB" / "7" / "a.jpg", tmp_path) == 0
    for folder, problem in (("cam", "no folder name of a modality"), ("rgb/ir", "folder names of both modalities")):
        with pytest.raises(DataError, match=f"its path has {problem}; folder names are visible: "):
            modality_by_folder(tmp_path / folder / "a.jpg", tmp_path)
