"""Evaluation: the trouble without the patch, its absence with it."""

import types
from typing import Any

import numpy as np
import pytest
import torch
from fastreid.config import get_cfg
from fastreid.engine import hooks
from fastreid.evaluation import ReidEvaluator
from fastreid.evaluation.rank import evaluate_rank
from fastreid.utils import compute_dist

from vireid_plugins.compat import patch
from vireid_plugins.errors import ConfigError

pytestmark = pytest.mark.usefixtures("unpatched")


def test_cython_is_not_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[int] = []
    monkeypatch.setattr("fastreid.evaluation.reid_evaluation.compile_helper", lambda: called.append(1))
    ReidEvaluator(get_cfg(), 1)
    assert called == [1]
    patch(only=["cython"])
    ReidEvaluator(get_cfg(), 1)
    assert called == [1]


def _ranking(gallery: int, seed: int = 0) -> tuple[Any, ...]:
    rng = np.random.default_rng(seed)
    ids = [rng.integers(0, 4, 12), np.arange(gallery) % 4]
    cams = [np.zeros(12, np.int64), rng.integers(0, 2, gallery)]
    cams[1][:4] = 1
    return (rng.random((12, gallery)), *ids, *cams)


def test_rank_of_a_short_gallery_equals_its_definition() -> None:
    short = _ranking(20)
    with pytest.raises(ValueError, match="inhomogeneous"):
        evaluate_rank(*short)
    long = _ranking(200)
    before = evaluate_rank(*long)
    patch(only=["rank"])
    for a, b in zip(before, evaluate_rank(*long), strict=True):
        np.testing.assert_allclose(a, b)
    cmc, precisions, penalties = evaluate_rank(*short)
    distance, query, gallery, query_cams, cams = short
    for q in range(12):
        keep = ~((gallery == query[q]) & (cams == query_cams[q]))
        right = (gallery == query[q])[keep][np.argsort(distance[q][keep])]
        places = np.flatnonzero(right) + 1
        assert precisions[q] == pytest.approx(np.mean(np.arange(1, len(places) + 1) / places))
        assert penalties[q] == pytest.approx(len(places) / places[-1])
    assert len(cmc) == 50
    assert cmc[-1] == 1


def test_rerank_without_faiss_gpu_equals_the_host_search() -> None:
    features = torch.randn(40, 8)
    with pytest.raises((AssertionError, RuntimeError, AttributeError)):
        compute_dist.build_dist(features[:10], features[10:], "jaccard", k1=6, k2=3)
    expected = compute_dist.compute_jaccard_distance(features, 6, 3, search_option=3)
    patch(only=["rerank"])
    found = compute_dist.build_dist(features[:10], features[10:], "jaccard", k1=6, k2=3)
    np.testing.assert_allclose(found, expected[:10, 10:])


def test_eval_period_of_zero_is_one_error() -> None:
    trainer: Any = types.SimpleNamespace(epoch=1, max_epoch=2)
    hook = hooks.EvalHook(0, dict)
    hook.trainer = trainer
    with pytest.raises(ZeroDivisionError):
        hook.after_train()
    patch(only=["eval_period"])
    with pytest.raises(ConfigError, match=r"TEST\.EVAL_PERIOD: must be at least 1, got 0"):
        hooks.EvalHook(0, dict)
    hooks.EvalHook(1, dict)
