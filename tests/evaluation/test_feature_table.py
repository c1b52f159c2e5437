import numpy as np
import pytest
import torch

from vireid_plugins.errors import FeatureError
from vireid_plugins.evaluation.feature_table import check_features


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (np.float16, np.float32), (np.float32, np.float32), (np.float64, np.float64), (np.int64, np.float64),
        (np.uint8, np.float64),
    ],
)  # fmt: skip
def test_check_features_of_real_numbers_gives_single_or_double_precision(given: type, read: type) -> None:
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
        with pytest.raises(FeatureError, match=r"\(n, D\) for n paths"):
            check_features(np.ones(shape), ["a", "b"])
