"""Brightness, contrast, blur and gray as Pillow and torchvision make them, and choices between transforms."""

import numpy as np
import pytest
import torch
from helpers import small_cfg
from PIL import Image
from released import FIXTURES

from vireid_plugins.data.transforms import BrightnessContrast, Erasing, GaussianBlur, Luma, View, build_view
from vireid_plugins.data.transforms.build import OneOf
from vireid_plugins.data.transforms.photometric import brightness, contrast, gaussian_blur
from vireid_plugins.errors import ConfigError

MEAN, STD = (np.array(numbers) * 255 for numbers in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))


@pytest.fixture(scope="module")
def stored() -> dict[str, np.ndarray]:
    with np.load(FIXTURES / "pmt_salt5.npz") as file:
        return {key.partition("/")[2]: value for key, value in file.items() if key.startswith("aug/")}


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def batch_of(image: np.ndarray, count: int = 1) -> torch.Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].repeat(count, 1, 1, 1)


def test_luma_equals_released_gray(stored: dict[str, np.ndarray]) -> None:
    np.testing.assert_array_equal(Luma()(stored["image"], rng()), stored["gray"])
    batch = Luma().batch(batch_of(stored["image"]), torch.Generator())
    np.testing.assert_array_equal(batch[0].permute(1, 2, 0), stored["gray"])
    assert batch.dtype == torch.uint8


@pytest.mark.parametrize("factor", ["0.7", "1.0", "1.3"])
def test_brightness_and_contrast_equal_released_images(stored: dict[str, np.ndarray], factor: str) -> None:
    for name, change in (("brightness", brightness), ("contrast", contrast)):
        np.testing.assert_array_equal(change(stored["image"], float(factor)), stored[f"{name}_{factor}"])


def test_brightness_and_contrast_in_both_orders_equal_released_images(stored: dict[str, np.ndarray]) -> None:
    image = stored["image"]
    np.testing.assert_array_equal(contrast(brightness(image, 0.8), 1.2), stored["b0.8_c1.2"])
    np.testing.assert_array_equal(brightness(contrast(image, 1.2), 0.8), stored["c1.2_b0.8"])


@pytest.mark.parametrize("sigma", ["0.1", "0.5", "1.0", "3.0"])
def test_gaussian_blur_equals_released_images(stored: dict[str, np.ndarray], sigma: str) -> None:
    np.testing.assert_array_equal(gaussian_blur(stored["image"], 21, float(sigma)), stored[f"blur_{sigma}"])
    value = float(sigma)
    batch = GaussianBlur(21, (value, value)).batch(batch_of(stored["image"], 2), torch.Generator())
    # In two passes a value near a half may be rounded the other way.
    apart = np.abs(batch[1].permute(1, 2, 0).numpy().astype(int) - stored[f"blur_{sigma}"])
    assert apart.max() <= 1
    assert apart.mean() < 0.001


def test_erasing_of_a_normalized_image_equals_released_pixels(
    stored: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    erasing = Erasing((123.675, 116.28, 103.53), aspect=(0.3, 1 / 0.3), aspect_draw="even")
    monkeypatch.setattr(erasing, "rectangle", lambda *_: tuple(stored["erased_rect"].tolist()))
    for steps, name in (([], "normalised"), ([(erasing, 1.0)], "erased")):
        view = View(steps, len(steps), MEAN, STD)
        found = (view(stored["image"], rng()).astype(np.float64) - MEAN) / STD
        np.testing.assert_allclose(found.transpose(2, 0, 1), stored[name], rtol=1e-5, atol=1e-5)


def test_brightness_contrast_draws_both_factors_and_both_orders(stored: dict[str, np.ndarray]) -> None:
    image = stored["image"]
    transform = BrightnessContrast(0.3)
    orders = set()
    for seed in range(20):
        drawn = rng(seed)
        first = drawn.random() < 0.5
        a, b = drawn.uniform(0.7, 1.3), drawn.uniform(0.7, 1.3)
        expected = contrast(brightness(image, a), b) if first else brightness(contrast(image, a), b)
        np.testing.assert_array_equal(transform(image, rng(seed)), expected)
        orders.add(first)
    assert orders == {False, True}


def test_brightness_contrast_of_a_batch_is_distributed_as_of_images(stored: dict[str, np.ndarray]) -> None:
    image, count = stored["image"], 400
    transform = BrightnessContrast(0.3)
    one_by_one = np.stack([transform(image, rng(seed)) for seed in range(count)]).astype(float)
    batch = transform.batch(batch_of(image, count), torch.Generator().manual_seed(0)).permute(0, 2, 3, 1).numpy()
    assert batch.dtype == np.uint8
    for statistic in (np.mean, np.std):
        ours, theirs = (statistic(images.reshape(count, -1).astype(float), axis=1) for images in (batch, one_by_one))
        np.testing.assert_allclose(ours.mean(), theirs.mean(), rtol=0.04)
        np.testing.assert_allclose(ours.std(), theirs.std(), rtol=0.2)


def test_build_view_of_alternatives_takes_each_as_often(stored: dict[str, np.ndarray]) -> None:
    view = build_view(small_cfg(), ["Flip@0.5", "Luma|GaussianBlur@0.8"])
    (_, _), (one_of, probability) = view.steps
    assert isinstance(one_of, OneOf)
    assert probability == 0.8
    gray = [np.ptp(one_of(stored["image"], rng(seed)), axis=2).max() == 0 for seed in range(200)]
    assert 75 < sum(gray) < 125
    batch = one_of.batch(batch_of(stored["image"], 200), torch.Generator().manual_seed(0))
    assert 75 < sum((image.amax(0) == image.amin(0)).all().item() for image in batch) < 125


@pytest.mark.parametrize(
    ("overrides", "names", "message"),
    [
        ([], ["Luma|Blur"], r"INPUT\.VIEWS: unknown value 'Blur'"),
        (["INPUT.JITTER", "1.5"], ["BrightnessContrast"], r"INPUT\.JITTER: must be from 0 to 1, got 1\.5"),
        (["INPUT.BLUR.SIZE", "20"], ["GaussianBlur"], r"INPUT\.BLUR\.SIZE: must be an odd number"),
        (["INPUT.BLUR.SIGMA", "[3.0, 1.0]"], ["GaussianBlur"], r"INPUT\.BLUR\.SIGMA: must be the smallest and the"),
    ],
)
def test_build_view_with_a_wrong_value_is_one_error(overrides: list[str], names: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_view(small_cfg("SYSU/wrim.yml", *overrides), names)


def test_transforms_leave_their_input_alone() -> None:
    image = np.asarray(Image.new("RGB", (32, 64), (200, 10, 90)))
    for transform in (Luma(), BrightnessContrast(), GaussianBlur()):
        kept = image.copy()
        out = transform(image, rng())
        np.testing.assert_array_equal(image, kept)
        assert out.shape == image.shape
        assert out.dtype == np.uint8
