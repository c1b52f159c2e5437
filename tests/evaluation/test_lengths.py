import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from vireid_plugins.errors import FeatureError
from vireid_plugins.evaluation import evaluate_protocol
from vireid_plugins.evaluation.feature_table import check_features
from vireid_plugins.evaluation.lengths import exponents_of, normalized, shrunk

FACTORS = {np.float16: (1e-3, 1e3), np.float32: (1e-30, 1e30), np.float64: (1e-150, 1e-30, 1e30, 1e150)}


def rows(kind: type, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((12, 8)).astype(kind)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_normalized_of_any_length_is_the_same_row(kind: type) -> None:
    matrix = rows(kind)
    plain = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    assert np.array_equal(normalized(matrix), plain)
    for factor in FACTORS[kind]:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            np.testing.assert_allclose(normalized(matrix * kind(factor)), plain, rtol=4 * np.finfo(kind).eps)
    smallest = np.zeros((1, 3), kind)
    smallest[0, 1] = np.finfo(kind).smallest_subnormal
    assert normalized(smallest).tolist() == [[0, 1, 0]]
    assert not normalized(np.zeros((2, 3), kind)).any()


def test_shrunk_leaves_usual_features_alone_and_keeps_every_ratio() -> None:
    matrix = rows(np.float32)
    assert shrunk(matrix, exponents_of(matrix)) is matrix
    for power in (-100, 100):
        scaled = np.ldexp(matrix, power)
        highest = exponents_of(matrix)[1]
        assert np.array_equal(np.ldexp(shrunk(scaled, exponents_of(scaled)), highest), matrix)


@pytest.mark.parametrize("metric", ["cosine", "euclidean", "inner_product"])
@pytest.mark.parametrize("kind", FACTORS)
def test_evaluate_protocol_of_features_of_any_length_gives_the_same_scores(
    little_tree: Path, kind: type, metric: str
) -> None:
    folder = little_tree / "RegDB"
    paths = sorted(str(file.relative_to(folder)) for file in folder.glob("*/*/*.bmp"))
    matrix = np.random.default_rng(1).standard_normal((len(paths), 8)).astype(kind)
    results = []
    for factor in (1, *FACTORS[kind]):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            # A power of two, so that every digit stays.
            power = kind(2.0 ** np.round(np.log2(factor)))
            results.append(evaluate_protocol(matrix * power, paths, "regdb/v2i", little_tree, 1, metric=metric).means)
    if kind is not np.float16:  # whose smallest numbers have fewer digits
        assert all(result == results[0] for result in results[1:])
    assert all(0 <= score <= 100 for result in results for score in result.values())


@pytest.mark.parametrize("metric", ["euclidean", "inner_product"])
@pytest.mark.parametrize("factor", [1e25, 1e-25])
def test_evaluate_protocol_with_one_odd_row_scores_the_others_as_without(
    little_tree: Path, factor: float, metric: str
) -> None:
    folder = little_tree / "RegDB"
    paths = sorted(str(file.relative_to(folder)) for file in folder.glob("*/*/*.bmp"))
    matrix = np.random.default_rng(1).standard_normal((len(paths), 8)).astype(np.float32)
    plain = evaluate_protocol(matrix, paths, "regdb/v2i", little_tree, 1, metric=metric)
    # An image that is not tested.
    odd = np.concatenate([matrix, np.full((1, 8), factor, np.float32)])
    found = evaluate_protocol(odd, [*paths, "Visible/9999/x.bmp"], "regdb/v2i", little_tree, 1, metric=metric)
    assert found.means == plain.means


def test_check_features_of_tensors_without_plain_numbers_is_one_error() -> None:
    for wrong, message in (
        (torch.eye(2).to_sparse(), "must be a dense tensor"),
        (torch.empty(2, 2, device="meta"), "got one without values"),
        (np.ma.masked_equal([[1.0, 2.0], [3.0, 4.0]], 2), "must not be masked"),
    ):
        with pytest.raises(FeatureError, match=message):
            check_features(wrong, ["a", "b"])
    assert check_features(torch.eye(2).to(torch.float8_e5m2), ["a", "b"]).tolist() == [[1, 0], [0, 1]]
