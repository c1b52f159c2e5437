from pathlib import Path

import numpy as np
import pytest

from vireid_plugins import visualize
from vireid_plugins.data.datasets import SYSUMM01
from vireid_plugins.errors import ConfigError
from vireid_plugins.evaluation import PROTOCOLS, EvaluationPlan
from vireid_plugins.evaluation.evaluate import score
from vireid_plugins.evaluation.open_set import CURVE
from vireid_plugins.evaluation.protocols import require_protocols
from vireid_plugins.visualize import Dir, Extraction


def test_dir_curve_is_the_mean_of_the_draws_of_the_open_form(tree: Path) -> None:
    dataset = SYSUMM01(root=str(tree))
    images = (*dataset.query, *dataset.gallery)
    paths = [dataset.relative(item) for item in images]
    generator = np.random.default_rng(0)
    features = np.eye(600)[[item[1] for item in images]] + 0.2 * generator.standard_normal((len(paths), 600))
    closed = EvaluationPlan(dataset, [PROTOCOLS["sysu/agw/all/1shot"]])
    curve = visualize.dir_curve("mine", Extraction(closed, features, paths))
    opened = EvaluationPlan(dataset, require_protocols(["sysu/agw/all/1shot/open"]))
    result = score(features, paths, opened)[0]
    assert curve.protocol == "sysu/agw/all/1shot/open"
    assert curve.values[CURVE.index(0.1)] == pytest.approx(result.means["TPIR@FPIR=10%"])
    # All are let in: what is left is rank-1.
    assert curve.values[-1] == pytest.approx(result.means["Rank-1"])
    assert (np.diff(curve.values) >= 0).all()
    assert curve.least == pytest.approx(100 / min(draw.impostor.sum() for draw in result.open_sets))
    (axes,) = visualize.draw_dir([curve, curve._replace(name="b")]).axes
    drawn = axes.lines[0].get_xdata()
    assert drawn[0] >= curve.least > 0.1
    np.testing.assert_allclose(axes.lines[0].get_ydata(), curve.values[-len(drawn) :])
    assert axes.lines[0].get_linestyle() != axes.lines[1].get_linestyle()


def test_draw_dir_of_different_protocols_is_refused() -> None:
    curves = [Dir(name, np.ones(len(CURVE)), 0.1, f"protocol {name}") for name in ("a", "b")]
    with pytest.raises(ConfigError, match=r"cannot be compared: protocol a \(a\), protocol b \(b\)"):
        visualize.draw_dir(curves)
