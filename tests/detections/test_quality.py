import numpy as np
import pytest
from PIL import Image, ImageFilter

from vireid_plugins.detections.frames import Picture
from vireid_plugins.detections.quality import laplacian_variance, quality_of


def textured(height: int = 256, width: int = 128) -> np.ndarray:
    coarse = np.random.default_rng(0).integers(0, 256, (height // 4, width // 4), np.uint8)
    return coarse.repeat(4, 0).repeat(4, 1)


def naive(gray: np.ndarray) -> float:
    found = [
        gray[y - 1, x] + gray[y + 1, x] + gray[y, x - 1] + gray[y, x + 1] - 4 * gray[y, x]
        for y in range(1, gray.shape[0] - 1)
        for x in range(1, gray.shape[1] - 1)
    ]
    return float(np.var(found))


def test_laplacian_variance_is_that_of_a_loop() -> None:
    gray = np.random.default_rng(1).uniform(0, 255, (7, 9)).astype(np.float32)
    assert laplacian_variance(gray) == pytest.approx(naive(gray.astype(np.float64)), rel=1e-5)
    assert laplacian_variance(gray[:2]) == 0


def test_quality_is_lower_when_blurred_smaller_or_cut_off() -> None:
    image = Image.fromarray(textured())
    best = quality_of(Picture(np.asarray(image), 255), 1.0)
    blurred = [quality_of(Picture(np.asarray(image.filter(ImageFilter.GaussianBlur(r))), 255), 1.0) for r in (1, 3, 6)]
    assert 1 > best > blurred[0] > blurred[1] > blurred[2] > 0
    half = quality_of(Picture(np.asarray(image)[:128], 255), 1.0)
    assert half == pytest.approx(best * 0.5**0.5, rel=0.05)
    assert quality_of(Picture(np.asarray(image), 255), 0.25) == pytest.approx(best / 4)
    assert quality_of(Picture(textured(512, 256), 255), 1.0) == pytest.approx(best, rel=0.05)


def test_quality_of_gray_colors_is_that_of_gray() -> None:
    gray = textured()
    assert quality_of(Picture(np.stack([gray] * 3, -1), 255), 1) == pytest.approx(
        quality_of(Picture(gray, 255), 1), rel=1e-4
    )


def test_quality_of_counts_does_not_depend_on_their_scale() -> None:
    counts = textured().astype(np.uint16)
    one, other = (quality_of(Picture(counts * factor + 7000, 65535), 1) for factor in (2, 20))
    assert one == pytest.approx(other, rel=0.02)
    assert one > 0.5


def test_quality_of_a_flat_crop_is_zero() -> None:
    assert quality_of(Picture(np.full((64, 32, 3), 9, np.uint8), 255), 1) == 0


@pytest.mark.parametrize("kind", [np.float32, np.uint16, np.uint8])
def test_quality_of_what_is_flat_is_0(kind: type) -> None:
    full = {np.uint16: 65_535, np.uint8: 255}.get(kind)
    assert quality_of(Picture(np.full((16, 8), 7, kind), full), 1.0) == 0
