from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from vireid_plugins.data.datasets import SYSUMM01
from vireid_plugins.errors import FeatureError
from vireid_plugins.evaluation.feature_table import FeatureTable, ImagesByModality, check_features
from vireid_plugins.evaluation.protocols import PROTOCOLS


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (np.float16, np.float16), (np.float32, np.float32), (np.float64, np.float64), (np.int64, np.float64),
        (np.uint8, np.float64),
    ],
)  # fmt: skip
def test_check_features_of_real_numbers_keeps_floats_and_makes_others_double(given: type, read: type) -> None:
    found = check_features(np.array([[1, 2], [3, 4]], given), ["a", "b"])
    assert found.dtype == read
    assert found.tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("given", "read"), [(torch.bfloat16, np.float32), (torch.float16, np.float32), (torch.float64, np.float64)]
)
def test_check_features_takes_tensors(given: torch.dtype, read: type) -> None:
    assert check_features(torch.ones(2, 3, dtype=given, requires_grad=True), ["a", "b"]).dtype == read


def test_check_features_names_what_is_wrong() -> None:
    with pytest.raises(FeatureError, match="real numbers; got complex128"):
        check_features(np.ones((2, 2), complex), ["a", "b"])
    with pytest.raises(FeatureError, match="2 images are not finite, the first: b"):
        check_features(np.array([[1.0, 2.0], [np.nan, 1.0], [1.0, np.inf]]), ["a", "b", "c"])
    for shape in ((2,), (3, 2), (2, 0)):
        with pytest.raises(FeatureError, match=r"^features must be \(n, D\) for n paths; got .* for 2 paths$"):
            check_features(np.ones(shape), ["a", "b"])
    with pytest.raises(FeatureError, match=r"^f\.npz: features must be \(n, D\) numbers: .*inhomogeneous"):
        check_features([[1.0, 2.0], [1.0]], ["a", "b"], "f.npz")
    for device, grad, said in (("cpu", True, "requires grad"), ("meta", False, "can't convert meta device")):
        with pytest.raises(FeatureError, match=rf"^features must be \(n, D\) numbers: .*{said}"):
            check_features([torch.ones(2, device=device, requires_grad=grad)] * 2, ["a", "b"])
    with pytest.raises(FeatureError, match=r"dense tensor of real numbers; got one without values$"):
        check_features(torch.ones(2, 2, device="meta"), ["a", "b"])
    with pytest.raises(FeatureError, match=r"real numbers; got one torch\.sparse_coo of torch\.float32$"):
        check_features(torch.ones(2, 2).to_sparse(), ["a", "b"])


def test_check_features_refuses_rows_of_zeros_and_warns_once_of_equal_ones(log: pytest.LogCaptureFixture) -> None:
    matrix = np.ones((3, 2), np.float32)
    matrix[1] = 0
    with pytest.raises(FeatureError, match=r"f\.npz: the features of 1 images have length zero, the first: b"):
        check_features(matrix, ["a", "b", "c"], "f.npz")
    for different in ([[1.0, 2], [1, 2], [1, 3]], [[1.0, 3], [1, 2], [1, 2]], [[1.0, 2]]):
        check_features(np.array(different), ["a", "b", "c"][: len(different)])
    assert not log.records
    check_features(np.ones((2, 2)), ["a", "b"])
    assert {record.getMessage()[:34] for record in log.records} == {"the features of all 2 images are t"}
    log.clear()
    check_features(np.ones((3, 2)), ["a", "b", "c"], "f.npz")
    # Heard twice while fast-reid's logger propagates.
    assert {record.getMessage()[:39] for record in log.records} == {"f.npz: the features of all 3 images are"}


@pytest.mark.parametrize("given", [">f4", ">f8", np.longdouble, "<f2"])
def test_check_features_reads_every_kind_of_float(given: str) -> None:
    found = check_features(np.array([[1, 2], [3, 4]], given), ["a", "b"])
    assert found.tolist() == [[1, 2], [3, 4]]
    assert found.dtype.isnative
    # No more memory than the values need.
    assert found.itemsize == min(8, np.dtype(given).itemsize)


@pytest.fixture
def images(little_tree: Path) -> ImagesByModality:
    return ImagesByModality(SYSUMM01(root=str(little_tree)))


@pytest.mark.parametrize(
    "spell",
    [
        lambda path: path.replace(".jpg", ".PNG"),
        lambda path: f"./{path}",
        lambda path: path.replace("/", "\\"),
        lambda path: f"/elsewhere/SYSU-MM01/{path}",
        lambda path: f"data/SYSU-MM01/{path}",
        lambda path: f"/SYSU-MM01/of/SYSU-MM01/{path}",
    ],
)
def test_feature_table_finds_images_by_every_spelling(images: ImagesByModality, spell: Callable[[str], str]) -> None:
    paths = [path for modality in (0, 1) for path in images.paths[modality]]
    matrix = np.random.default_rng(0).standard_normal((len(paths), 3))
    plain, spelled = FeatureTable(images, matrix, paths), FeatureTable(images, matrix, [spell(path) for path in paths])
    for modality in (0, 1):
        assert np.array_equal(plain.of(modality), spelled.of(modality))
        assert plain.of(modality).any(axis=1).all()


def test_feature_table_gives_rows_of_length_one_or_as_they_are(images: ImagesByModality) -> None:
    paths = [path for modality in (0, 1) for path in images.paths[modality]]
    matrix = np.random.default_rng(0).standard_normal((len(paths), 3)).astype(np.float32)
    table = FeatureTable(images, matrix, paths)
    raw = np.concatenate([table.of(modality, False) for modality in (0, 1)])
    assert np.array_equal(raw, matrix)
    unit = np.concatenate([table.of(modality, True) for modality in (0, 1)])
    np.testing.assert_allclose(unit, matrix / np.linalg.norm(matrix, axis=1, keepdims=True), rtol=1e-6)
    assert np.array_equal(table.of(0), table.of(0, True))


def test_feature_table_names_both_rows_of_an_image(images: ImagesByModality) -> None:
    path = images.paths[0][0]
    with pytest.raises(FeatureError, match=f"1 paths occur more than once, the first: {path[:-4]}.png in rows 0 and 1"):
        FeatureTable(images, np.ones((2, 2)), [path, f"{path[:-4]}.png"])


def test_feature_table_in_a_file_names_it_in_every_error(images: ImagesByModality) -> None:
    paths = images.paths[0]
    with pytest.raises(FeatureError, match=r"^f\.npz: the features of 1 images are not finite"):
        FeatureTable(images, np.array([[np.nan, 1.0]]), paths[:1], "f.npz")
    with pytest.raises(FeatureError, match=r"^f\.npz: 1 paths occur more than once"):
        FeatureTable(images, np.ones((2, 2)), [paths[0], paths[0]], "f.npz")
    table = FeatureTable(images, np.array([[1.0, 2.0]]), paths[:1], "f.npz")
    table.require(PROTOCOLS["sysu/official/all/1shot"], 0, [np.array([0])])
    message = (
        rf"^f\.npz: sysu/official/all/1shot: 1 images have no features, the first: {paths[1]}\. .* is '{paths[0]}'$"
    )
    with pytest.raises(FeatureError, match=message):
        table.require(PROTOCOLS["sysu/official/all/1shot"], 0, [np.array([0]), np.array([1, 0])])
