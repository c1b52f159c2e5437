"""Post-processing that cannot be done is refused before anything is scored."""

import numpy as np
import pytest

from vireid_plugins.errors import ConfigError
from vireid_plugins.evaluation.postprocess import PostProcessing


@pytest.mark.parametrize(
    ("asked", "metric", "message"),
    [
        (PostProcessing(expansions=-1), "cosine", r"\(TEST\.AQE\.QE_TIME\): must be at least 0 times, got -1"),
        (PostProcessing(expansions=1, alpha=np.inf), "cosine", r"\(TEST\.AQE\.ALPHA\): must be .* finite, got inf"),
        (PostProcessing(expansions=1), "euclidean", r"\(TEST\.AQE\) needs the cosine, but TEST\.METRIC is euclidean"),
        (
            PostProcessing(rerank="ordinary"),
            "inner_product",
            r"\(TEST\.RERANK\) needs a distance, but TEST\.METRIC is inner_product; set it to cosine or euclidean",
        ),
    ],
)
def test_postprocessing_that_does_not_fit_names_its_key(asked: PostProcessing, metric: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        asked.check(metric)
