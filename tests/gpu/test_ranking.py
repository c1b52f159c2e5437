"""Distances on the device are ranked as on the host."""

import numpy as np
import pytest
import torch
from on_device import DEVICE

from vireid_plugins.evaluation import evaluate_ranking

pytestmark = pytest.mark.gpu


def test_ranking_on_the_device_counts_as_on_the_host() -> None:
    rng = np.random.default_rng(0)
    distance, ids, cams = rng.random((300, 500)), rng.integers(0, 40, 800), rng.integers(1, 7, 800)
    arguments = (ids[:300], ids[300:], cams[:300], cams[300:], "sysu", "distinct_id")
    expected = evaluate_ranking(distance, *arguments)
    found = evaluate_ranking(torch.from_numpy(distance).to(DEVICE), *arguments)
    np.testing.assert_array_equal(found.cmc, expected.cmc)
    assert (found.mAP, found.mINP) == pytest.approx((expected.mAP, expected.mINP), abs=1e-12)
    assert (found.counted, found.skipped) == (expected.counted, expected.skipped)
