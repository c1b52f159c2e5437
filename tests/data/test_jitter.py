"""Saturation, hue and color jitter, as torchvision changes Pillow images."""

import numpy as np
import pytest
import torch
from helpers import small_cfg
from PIL import Image
from torchvision.transforms import functional

from vireid_plugins.data.transforms import ColorJitter, build_view
from vireid_plugins.data.transforms.jitter import hue, saturation
from vireid_plugins.errors import ConfigError


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (12, 8, 3), dtype=np.uint8)


@pytest.mark.parametrize("value", [-0.5, -0.1, 0.0, 0.3, 0.5])
def test_hue_and_saturation_equal_torchvision(image: np.ndarray, value: float) -> None:
    picture = Image.fromarray(image)
    np.testing.assert_array_equal(hue(image, value), functional.adjust_hue(picture, value))
    np.testing.assert_array_equal(saturation(image, 1 + value), functional.adjust_saturation(picture, 1 + value))


@pytest.mark.parametrize(("number", "value"), [(0, 1.3), (1, 1.4), (2, 1.5), (3, 0.25)])
def test_color_jitter_of_a_batch_agrees_with_that_of_images(
    image: np.ndarray, monkeypatch: pytest.MonkeyPatch, number: int, value: float
) -> None:
    """With one change alone, whose number is not random, up to the steps of Pillow's hues."""
    ranges = [(1.0, 1.0), (1.0, 1.0), (1.0, 1.0), (0.0, 0.0)]
    ranges[number] = (value, value)
    monkeypatch.setattr(ColorJitter, "_ranges", ranges)
    expected = ColorJitter()(image, np.random.default_rng(1))
    pixels = torch.from_numpy(image.copy()).permute(2, 0, 1)[None]
    found = ColorJitter().batch(pixels, torch.Generator().manual_seed(1))
    assert found.dtype == torch.uint8
    assert np.abs(found[0].permute(1, 2, 0).numpy().astype(int) - expected.astype(int)).mean() < 4
    assert np.abs(image.astype(int) - expected.astype(int)).mean() > 10


def test_color_jitter_draws_a_new_image_each_time_and_leaves_its_input(image: np.ndarray) -> None:
    before = image.copy()
    rng = np.random.default_rng(0)
    jitter = ColorJitter()
    one, other = jitter(image, rng), jitter(image, rng)
    assert (one != other).any()
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(jitter(image, np.random.default_rng(0)), one)
    assert build_view(small_cfg(), ["Flip@0.5", "ColorJitter"]).dtype == np.uint8


@pytest.mark.parametrize("jitter", [[0.5] * 3, [0.5, 0.5, 0.5, 0.6], [1.2, 0, 0, 0], [-0.1, 0, 0, 0]])
def test_color_jitter_refuses_other_ranges(jitter: list[float]) -> None:
    with pytest.raises(ConfigError, match=r"INPUT.COLOR_JITTER: must be four numbers"):
        ColorJitter(jitter)
