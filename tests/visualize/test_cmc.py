from pathlib import Path

import numpy as np
import pytest

from vireid_plugins import visualize
from vireid_plugins.data.datasets import SYSUMM01
from vireid_plugins.errors import ConfigError
from vireid_plugins.evaluation import PROTOCOLS, EvaluationPlan
from vireid_plugins.evaluation.evaluate import score
from vireid_plugins.visualize import Cmc, Extraction


def test_cmc_curve_is_the_mean_of_the_trials(tree: Path) -> None:
    dataset = SYSUMM01(root=str(tree))
    paths = [dataset.relative(item) for item in (*dataset.query, *dataset.gallery)]
    features = np.random.default_rng(0).standard_normal((len(paths), 6))
    plan = EvaluationPlan(dataset, [PROTOCOLS["sysu/official/all/1shot"]])
    curve = visualize.cmc_curve("mine", Extraction(plan, features, paths))
    result = score(features, paths, plan)[0]
    assert len(curve.values) == min(20, len(result.rankings[0].cmc))
    for rank, value in enumerate(curve.values):
        assert value == pytest.approx(100 * sum(float(one.cmc[rank]) for one in result.rankings) / len(result.rankings))
    assert curve.values[0] == pytest.approx(result.means["Rank-1"])
    assert curve.mAP == result.means["mAP"]
    assert curve.counted == "rank position (distinct identities)"
    (axes,) = visualize.draw_cmc([curve, curve]).axes
    np.testing.assert_allclose(axes.lines[0].get_ydata(), curve.values)
    assert axes.lines[0].get_linestyle() != axes.lines[1].get_linestyle()
    low, high = axes.get_ylim()
    assert low < curve.values.min()
    assert high > 100


def test_draw_cmc_of_different_protocols_is_refused() -> None:
    curves = [Cmc(name, np.array([1.0]), 1.0, f"protocol {name}", "") for name in ("a", "b")]
    with pytest.raises(ConfigError, match=r"cannot be compared: protocol a \(a\), protocol b \(b\)"):
        visualize.draw_cmc(curves)
