import numpy as np
import pytest

from vireid_plugins.detections.sidecar import Crop
from vireid_plugins.detections.tracks import Track, represent, tracks_of
from vireid_plugins.errors import ConfigError, FeatureError

VECTORS = np.array([[3, 0], [0, 0.5], [2, 0]], np.float32)


def crop(file: str, frame: int, camera: str, track: str) -> Crop:
    return Crop(file, "a.avi", frame, None, camera, track, 0, 0, 5, 9, None, 0.5)


def test_represent_by_mean_weighs_directions_by_quality() -> None:
    expected = np.array([0.2 + 0.4, 0.6])
    found = represent(VECTORS, np.array([0.2, 0.6, 0.4]))
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected), rtol=1e-6)
    assert found.dtype == np.float32


def test_represent_by_best_is_the_first_vector_of_the_highest_quality() -> None:
    np.testing.assert_array_equal(represent(VECTORS, np.array([0.1, 0.6, 0.6]), "best"), [0, 1])


def test_represent_without_quality_weighs_equally() -> None:
    np.testing.assert_allclose(represent(VECTORS[:2], np.zeros(2)), [0.5**0.5, 0.5**0.5], rtol=1e-6)


def test_represent_of_one_vector_is_its_direction_either_way() -> None:
    for how in ("mean", "best"):
        np.testing.assert_allclose(represent(np.array([[3.0, 4.0]]), np.array([0.3]), how), [0.6, 0.8])


def test_represent_keeps_types_of_floats_and_changes_nothing_it_was_given() -> None:
    for kind, expected in ((np.float16, np.float16), (np.float64, np.float64), (np.int64, np.float32)):
        vectors = VECTORS.astype(kind) + 1
        copy = vectors.copy()
        assert represent(vectors, np.ones(3)).dtype == expected
        np.testing.assert_array_equal(vectors, copy)


@pytest.mark.parametrize(
    ("vectors", "quality", "message"),
    [
        (np.zeros((0, 4)), np.zeros(0), r"got \(0, 4\) and \(0,\)"),
        (np.ones(4), np.ones(4), r"got \(4,\)"),
        (np.ones((3, 4)), np.ones(2), r"got \(3, 4\) and \(2,\)"),
        (np.array([[1.0, np.nan]]), np.ones(1), "must be finite"),
        (np.ones((1, 2)), np.array([np.inf]), "must be finite"),
        (np.ones((1, 2)), np.array([-0.1]), "not negative"),
        (np.zeros((1, 2)), np.ones(1), "has no direction"),
        (np.array([[1.0, 0], [-1, 0]]), np.ones(2), "or their mean, is 0"),
    ],
)
def test_represent_of_what_is_no_track_is_an_error(vectors: np.ndarray, quality: np.ndarray, message: str) -> None:
    with pytest.raises(FeatureError, match=message):
        represent(vectors, quality)


def test_represent_by_an_unknown_way_lists_the_known() -> None:
    with pytest.raises(ConfigError, match="how: unknown value 'median'; available: best, mean"):
        represent(VECTORS, np.ones(3), "median")  # type: ignore[arg-type]


def test_tracks_of_crops_link_back_to_frames_in_their_order() -> None:
    crops = [
        *(crop("a.png", 9, "c1", "t1"), crop("b.png", 3, "c1", "t1"), crop("c.png", 3, "c2", "t1")),
        *(crop("d.png", 4, "c1", ""), crop("e.png", 5, "c1", "")),
    ]
    assert tracks_of(crops) == [
        *(Track("c1", "t1", (1, 0)), Track("c2", "t1", (2,)), Track("c1", "", (3,)), Track("c1", "", (4,)))
    ]
