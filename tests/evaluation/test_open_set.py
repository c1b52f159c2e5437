"""Open-set rates equal those of loops over queries and thresholds."""

import json
import math
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import small_cfg

from vireid_plugins.data.datasets import RegDB
from vireid_plugins.errors import ConfigError, DataError, FeatureError
from vireid_plugins.evaluation import (
    PROTOCOLS,
    CrossModalityEvaluator,
    EvaluationPlan,
    PostProcessing,
    evaluate_protocol,
    feature_ranking,
    nearest,
    result_table,
)
from vireid_plugins.evaluation.evaluate import dataset_of, score
from vireid_plugins.evaluation.open_set import CURVE, Identified, accepted, enrolled, score_name, threshold_for
from vireid_plugins.evaluation.protocols import open_form, protocols_of, require_protocols
from vireid_plugins.evaluation.query_scores import read_query_scores
from vireid_plugins.evaluation.scores import scalars_of
from vireid_plugins.evaluation.screen_table import fitted_table
from vireid_plugins.evaluation.trials import draw_trials


def share_accepted(best: list[float], threshold: float) -> float:
    return sum(one >= threshold for one in best) / len(best)


@pytest.mark.parametrize("seed", range(40))
def test_threshold_for_is_the_smallest_that_keeps_the_rate(seed: int) -> None:
    generator = random.Random(seed)
    # Few values, so that there are ties.
    best = [generator.choice([0.1, 0.2, 0.25, 0.5, 0.75, -math.inf]) for _ in range(generator.randint(1, 30))]
    for rate in (0, 0.01, 0.1, 0.29, 0.5, 1 / 3, 0.99, 1):
        threshold = threshold_for(best, rate)
        assert share_accepted(best, threshold) <= rate
        below = math.nextafter(threshold, -math.inf)
        assert threshold == -math.inf or share_accepted(best, below) > rate


def test_threshold_for_a_rate_that_is_a_whole_number_of_impostors_lets_all_of_these_in() -> None:
    best = np.arange(100) / 100
    for allowed in range(101):
        # 0.29 * 100 is below 29 in floating point.
        assert int(accepted(best, threshold_for(best, allowed / 100)).sum()) == allowed


def test_threshold_for_ties_at_the_rate_lets_none_of_them_in() -> None:
    threshold = threshold_for([0.9, 0.9, 0.9, 0.5], 0.5)
    assert accepted([0.9, np.nextafter(0.9, 1), 0.5], threshold).tolist() == [False, True, False]


def test_threshold_for_float32_is_above_the_impostor_in_the_same_precision() -> None:
    best = np.array([0.3, 0.7], np.float32)
    threshold = threshold_for(best, 0)
    assert accepted(best, threshold).tolist() == [False, False]
    assert accepted(np.nextafter(best, np.float32(1)), threshold).tolist() == [False, True]


def test_threshold_for_bad_input_is_one_error() -> None:
    with pytest.raises(ConfigError, match=r"FPIR: must be from 0 to 1, got 1\.5"):
        threshold_for([0.5], 1.5)
    with pytest.raises(FeatureError, match="at least one impostor"):
        threshold_for([], 0.1)
    for value in (math.nan, math.inf):
        with pytest.raises(FeatureError, match="below infinity"):
            threshold_for([0.5, value], 0.1)


def test_enrolled_is_half_of_the_identities_by_the_number_of_the_draw_alone() -> None:
    random.seed(5)
    before = random.getstate()
    found = [enrolled([7, 3, 3, 9, 1, 5], draw) for draw in range(10)]
    assert random.getstate() == before
    assert all(len(set(one)) == 2 and set(one) < {1, 3, 5, 7, 9} for one in found)
    assert len({tuple(sorted(one)) for one in found}) > 3
    assert found == [enrolled([9, 7, 5, 3, 1], draw) for draw in range(10)]
    with pytest.raises(DataError, match="at least two identities, one of them unknown; there are 1"):
        enrolled([4, 4], 0)


def identified(genuine: list[float], right: list[bool], impostor: list[float]) -> Identified:
    known = np.arange(len(genuine) + len(impostor)) < len(genuine)
    return Identified(
        np.array(genuine + impostor), np.array(right + [False] * len(impostor)), genuine=known, impostor=~known
    )


def test_tpir_with_all_unknown_people_far_away_is_rank_1_and_with_all_near_is_0() -> None:
    right = [True, False, True, True]
    far = identified([0.9, 0.8, 0.7, 0.6], right, [0.1] * 5)
    assert far.dir_curve().tolist() == [0.75] * len(CURVE)
    near = identified([0.9, 0.8, 0.7, 0.6], right, [0.95] * 5)
    assert near.tpir(near.threshold(0.1)) == 0
    assert near.tpir(near.threshold(1)) == 0.75
    # As near as an impostor that must not pass is not near enough.
    tied = identified([0.9, 0.8, 0.7, 0.6], right, [0.7, 0.1])
    assert (tied.tpir(tied.threshold(0)), tied.tpir(tied.threshold(0.5))) == (0.25, 0.75)


def features_of(name: str, tree: Path) -> tuple:
    protocol = PROTOCOLS[name]
    dataset = dataset_of(protocol.dataset, tree, 4 if protocol.dataset == "RegDB" else None)
    paths = [dataset.relative(item) for item in (*dataset.query, *dataset.gallery)]
    ids = np.array([item[1] for item in (*dataset.query, *dataset.gallery)])
    cams = np.array([item[2] for item in (*dataset.query, *dataset.gallery)])
    generator = np.random.default_rng(0)
    matrix = generator.standard_normal((ids.max() + 1, 16))[ids] + 1.5 * generator.standard_normal((len(ids), 16))
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    return dataset, matrix, paths, dict(zip(paths, zip(ids, cams, matrix, strict=True), strict=True))


def naive(plan_dataset, protocol, labels, draw: int) -> tuple[list[tuple[float, bool]], list[float]]:
    """Return by loops the best cosine of each genuine query, with whether it is right, and that of each impostor."""
    trials = draw_trials(plan_dataset, protocol)
    query, gallery = trials[draw % len(trials)]
    every = sorted({identity for identity, _, _ in labels.values()})
    known = random.Random(f"open {draw}").sample([int(one) for one in every], len(every) // 2)
    gallery = [path for path in gallery if labels[path][0] in known]
    there = {labels[path][0] for path in gallery}
    pairs = plan_dataset.unseen.get(protocol.drop, ())
    genuine, impostors = [], []
    for path in query:
        identity, camera, vector = labels[path]
        nearest_one, matches = (-math.inf, None), 0
        for other in gallery:
            its, where, its_vector = labels[other]
            own_camera = protocol.drop == "same_camera" and (its, where) == (identity, camera)
            if (camera, where) in pairs or own_camera:
                continue
            matches += its == identity
            cosine = float(vector @ its_vector)
            if cosine > nearest_one[0]:
                nearest_one = (cosine, its)
        if identity not in there:
            impostors.append(nearest_one[0])
        elif matches:
            genuine.append((nearest_one[0], nearest_one[1] == identity))
    return genuine, impostors


def best_tpir(genuine: list[tuple[float, bool]], impostors: list[float], rate: float) -> float:
    """Return the highest TPIR of all thresholds that keep the rate."""
    thresholds = {*impostors, *(cosine for cosine, _ in genuine), 2.0}
    kept = [one for one in thresholds if share_accepted(impostors, one) <= rate]
    return max(sum(right and cosine >= one for cosine, right in genuine) / len(genuine) for one in kept)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_open_form_of_every_protocol_equals_the_loops(tree: Path, name: str) -> None:
    dataset, matrix, paths, labels = features_of(name, tree)
    (protocol,) = require_protocols([f"{name}/open"])
    assert (protocol.name, len(protocol.about) > 20) == (f"{name}/open", True)
    (result,) = score(matrix, paths, EvaluationPlan(dataset, [protocol]))
    assert len(result.rankings) == 10
    shown = result.as_json()["open_set"]
    for draw in (1, 9):
        genuine, impostors = naive(dataset, PROTOCOLS[name], labels, draw)
        assert (shown["genuine"][draw], shown["impostors"][draw]) == (len(genuine), len(impostors))
        assert result.scores["Rank-1"][draw] == pytest.approx(100 * sum(right for _, right in genuine) / len(genuine))
        for rate in (0.01, 0.1):
            assert result.scores[score_name(rate)][draw] == pytest.approx(100 * best_tpir(genuine, impostors, rate))


def test_open_forms_leave_the_scores_of_closed_sets_as_they_are(tree: Path) -> None:
    dataset, matrix, paths, _ = features_of("llcm/i2v", tree)
    closed = protocols_of("LLCM", [])
    alone = score(matrix, paths, EvaluationPlan(dataset, closed))
    both = score(matrix, paths, EvaluationPlan(dataset, [*map(open_form, closed), *closed]))[len(closed) :]
    assert [one.as_json() for one in both] == [one.as_json() for one in alone]
    assert all("open_set" not in one.as_json() for one in alone)


def test_open_form_enrolls_the_same_people_under_all_protocols_of_a_data_set(tree: Path) -> None:
    dataset = dataset_of("LLCM", tree)
    plan = EvaluationPlan(dataset, [open_form(one) for one in protocols_of("LLCM", ["llcm/[vi]2v", "llcm/full/*"])])
    people = []
    for protocol in plan.protocols:
        side = 0 if protocol.direction == "i2v" else 1
        people.append([set(plan.images.labels_at(side, one.gallery).ids.tolist()) for one in plan.trials(protocol)])
    assert all(one == people[0] for one in people)


@pytest.mark.parametrize("drop", ["sysu/agw/all/1shot", "llcm/v2i"])
def test_open_form_block_by_block_equals_the_whole_matrix(tree: Path, monkeypatch, drop: str) -> None:
    dataset, matrix, paths, _ = features_of(drop, tree)
    plan = EvaluationPlan(dataset, require_protocols([f"{drop}/open"]))
    (whole,) = score(matrix, paths, plan)
    monkeypatch.setattr(feature_ranking, "WHOLE", 0)
    for name in ("QUERIES", "IMAGES"):
        monkeypatch.setattr(nearest, name, 64)
    (blocks,) = score(matrix, paths, plan)
    assert blocks.scores == whole.scores
    for one, other in zip(blocks.open_sets, whole.open_sets, strict=True):
        np.testing.assert_allclose(one.best, other.best, atol=1e-12)


def test_nearest_of_a_tensor_is_that_of_the_array(tree: Path) -> None:
    from vireid_plugins.evaluation.evaluate import _selections

    for name in ("sysu/agw/all/1shot", "llcm/v2i"):
        dataset, *_ = features_of(name, tree)
        (protocol,) = require_protocols([f"{name}/open"])
        plan = EvaluationPlan(dataset, [protocol])
        selection = _selections(plan, protocol)[0]
        size = [max(plan.images.labels[side].ids.size for side in (0, 1))] * 2
        distance = np.random.default_rng(1).integers(0, 9, size).astype(np.float32)
        found = nearest.nearest(torch.from_numpy(distance), selection)
        np.testing.assert_array_equal(found, nearest.nearest(distance, selection))


def test_open_form_is_scored_with_re_ranking(tree: Path) -> None:
    _, matrix, paths, _ = features_of("regdb/v2i", tree)
    post = PostProcessing(rerank="ordinary", k1=4, k2=2)
    plain, ranked = (
        evaluate_protocol(matrix, paths, "regdb/v2i/open", tree, 4, how) for how in (PostProcessing(), post)
    )
    assert ranked.open_sets[0].best.max() <= 0
    assert plain.scores != ranked.scores


def test_result_table_of_open_and_closed_sets_says_where_the_impostors_are_too_few(tree: Path) -> None:
    dataset, matrix, paths, _ = features_of("llcm/v2i", tree)
    results = score(matrix, paths, EvaluationPlan(dataset, require_protocols(["llcm/v2i", "llcm/v2i/open"])))
    shown = results[1].as_json()["open_set"]
    header, _, closed, opened = result_table(results).splitlines()
    assert "TPIR@FPIR=1%" in header
    assert "TPIR" not in result_table(results[:1])
    assert max(shown["impostors"]) < 100
    assert opened.count("(FPIR 0)") == 1 + (min(shown["impostors"]) < 10)
    assert "FPIR" not in closed
    assert shown["rates"][0]["fpir"] == [0.0] * 10
    assert all(reached <= 0.1 for reached in shown["rates"][1]["fpir"])
    assert json.loads(json.dumps(shown)) == shown
    narrow = fitted_table(results, 60)
    assert "±" not in narrow.splitlines()[2]
    assert "(FPIR 0)" in narrow


def test_cross_modality_evaluator_writes_and_returns_an_open_set(tree: Path, tmp_path: Path) -> None:
    dataset, matrix, paths, _ = features_of("sysu/agw/all/1shot", tree)
    cfg = small_cfg("SYSU/wrim.yml", "TEST.PROTOCOLS", "['sysu/agw/all/1shot', 'sysu/agw/all/1shot/open']")
    plan = EvaluationPlan(dataset, protocols_of("SYSUMM01", cfg.TEST.PROTOCOLS)).draw()
    evaluator = CrossModalityEvaluator(cfg, plan, str(tmp_path))
    evaluator.process({"img_paths": [str(dataset.folder / path) for path in paths]}, torch.from_numpy(matrix))
    scores = evaluator.evaluate()
    logged = scalars_of(scores)
    assert "TPIR@FPIR=1%" not in scores
    report = json.loads((tmp_path / "evaluation.json").read_text())["results"][1]
    for name in ("TPIR@FPIR=1%", "TPIR@FPIR=10%", "Rank-1"):
        assert logged[f"sysu/agw/all/1shot/open/{name}"] == report["mean"][name] == np.mean(report["per_trial"][name])
    assert report["trials"] == 10
    assert report["open_set"]["dir"]["fpir"] == list(CURVE)
    curve = dict(zip(CURVE, report["open_set"]["dir"]["mean"], strict=True))
    assert curve[0.1] == pytest.approx(report["mean"]["TPIR@FPIR=10%"])
    queries = read_query_scores(tmp_path / "evaluation_queries.npz")["sysu/agw/all/1shot/open"]
    assert (~np.isnan(queries.ap)).sum(1).tolist() == report["open_set"]["genuine"]


def test_open_form_without_an_unknown_query_is_one_error(tree: Path, monkeypatch) -> None:
    plan = EvaluationPlan(RegDB(root=str(tree), split=1), require_protocols(["regdb/v2i/open"]))
    monkeypatch.setattr("vireid_plugins.evaluation.open_set.enrolled", lambda identities, draw: sorted(set(identities)))
    with pytest.raises(DataError, match=r"regdb/v2i/open on .*: all queries are of the \d+ identities that draw 0"):
        plan.draw()
