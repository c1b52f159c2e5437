import math

import numpy as np
import pytest

from vireid_plugins.detections.boxes import Box, Pixels, inside, pixels_of


def box(left: float, top: float, width: float, height: float) -> Box:
    return Box("here", left, top, width, height, 1)


@pytest.mark.parametrize(("left", "top"), [(0, 0), (10, 20), (0.5, 1.5), (10.25, 20.75), (10.9999, 3.0001)])
def test_pixels_of_a_box_of_5_x_9_are_5_x_9_wherever_it_is(left: float, top: float) -> None:
    pixels = pixels_of(box(left, top, 5, 9), 100, 100)
    assert pixels is not None
    assert (pixels.right - pixels.left, pixels.bottom - pixels.top) == (5, 9)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((10.2, 20.7, 5.5, 9.1), (10, 20, 16, 30)),
        ((-3.5, -1, 10, 4), (0, 0, 7, 3)),
        ((95.2, 40, 10, 30), (95, 40, 100, 50)),
        ((0.1, 0.1, 0.2, 0.2), (0, 0, 1, 1)),
        ((-5, -5, 500, 500), (0, 0, 100, 50)),
        ((99.5, 49.5, 5, 5), (99, 49, 100, 50)),
        ((99.9995, 0, 3, 3), None),
    ],
)
def test_pixels_of_a_box_begin_at_its_corner_and_end_with_its_size(given: tuple, expected: tuple | None) -> None:
    assert pixels_of(box(*given), 100, 50) == (expected and Pixels(*expected))


def test_pixels_of_float32_coordinates_are_those_of_whole_ones() -> None:
    left, width = float(np.float32(0.7)) * 640, float(np.float32(0.1)) * 640
    assert left < 448 < left + 1e-4
    pixels = pixels_of(box(left, 0, width, 9), 640, 480)
    assert pixels == Pixels(448, 0, 512, 9)


@pytest.mark.parametrize(
    "given", [(100, 0, 5, 5), (0, 50, 5, 5), (-5, 0, 5, 5), (0, -9, 5, 9), (5, 5, 0, 9), (5, 5, 9, -1)]
)
def test_pixels_of_a_box_outside_or_without_an_area_are_none(given: tuple) -> None:
    assert pixels_of(box(*given), 100, 50) is None
    assert inside(box(*given), 100, 50) == 0


def test_pixels_of_random_boxes_are_in_the_image_and_as_large_as_the_box() -> None:
    rng = np.random.default_rng(0)
    for left, top, width, height in rng.uniform([-20, -20, 0.01, 0.01], [120, 70, 60, 60], (500, 4)):
        found = pixels_of(box(left, top, width, height), 100, 50)
        if found is None:
            continue
        assert 0 <= found.left < found.right <= 100
        assert 0 <= found.top < found.bottom <= 50
        assert found.right - found.left <= math.ceil(width)
        assert found.bottom - found.top <= math.ceil(height)


def test_inside_is_the_share_of_the_area() -> None:
    assert inside(box(10, 10, 4, 5), 100, 50) == 1
    assert inside(box(-2, 10, 4, 5), 100, 50) == pytest.approx(0.5)
    assert inside(box(98, 45, 4, 10), 100, 50) == pytest.approx(0.25)
