import json
from pathlib import Path

import numpy as np
import pytest
import torch
from fastreid.config import CfgNode
from helpers import small_cfg
from reference.ranking import per_query

from vireid_plugins.data.datasets import LLCM, SYSUMM01, CrossModalityDataset
from vireid_plugins.errors import ConfigError, DataError, FeatureError
from vireid_plugins.evaluation import (
    PROTOCOLS,
    CrossModalityEvaluator,
    EvaluationPlan,
    PostProcessing,
    evaluate_protocol,
)
from vireid_plugins.evaluation.evaluate import dataset_of, score
from vireid_plugins.evaluation.features import load_features
from vireid_plugins.evaluation.protocols import protocols_of
from vireid_plugins.evaluation.trials import draw_trials


@pytest.fixture
def features(tree: Path) -> tuple[np.ndarray, list[str]]:
    return features_of(SYSUMM01(root=str(tree)))


def features_of(dataset: CrossModalityDataset) -> tuple[np.ndarray, list[str]]:
    paths = [dataset.relative(item) for item in (*dataset.query, *dataset.gallery)]
    return np.random.default_rng(0).standard_normal((len(paths), 16)), paths


def evaluator_of(cfg: CfgNode, dataset: CrossModalityDataset, folder: Path) -> CrossModalityEvaluator:
    plan = EvaluationPlan(dataset, protocols_of(type(dataset).__name__, cfg.TEST.PROTOCOLS))
    return CrossModalityEvaluator(cfg, plan, str(folder))


def read(path: str) -> tuple[int, int]:
    """Identity and camera from a path of any of the three layouts."""
    parts = path.split("/")
    if parts[0] in ("Visible", "Thermal"):
        return int(parts[1]), 1 + (parts[0] == "Thermal")
    if parts[0] in ("visible", "infrared"):
        return int(parts[1]), 1 + (parts[0] == "infrared")
    if parts[0].startswith("test_"):
        return int(parts[2]), int(parts[1][3:])
    return int(parts[1]), int(parts[0][3:])


@pytest.mark.parametrize("name", PROTOCOLS)
def test_evaluate_protocol_equals_the_definition_of_each(tree: Path, name: str) -> None:
    protocol = PROTOCOLS[name]
    split = 4 if protocol.dataset == "RegDB" else None
    dataset = dataset_of(protocol.dataset, tree, split)
    matrix, paths = features_of(dataset)
    row = {path: vector / np.linalg.norm(vector) for path, vector in zip(paths, matrix, strict=True)}
    found = evaluate_protocol(matrix, paths, name, tree, split)
    trials = draw_trials(dataset, protocol)
    assert len(found.rankings) == protocol.trials == len(trials)
    for ranking, (query, gallery) in list(zip(found.rankings, trials, strict=True))[:3]:
        distance = np.array([[-row[q] @ row[g] for g in gallery] for q in query])
        (query_ids, query_cams), (gallery_ids, gallery_cams) = (
            np.array([read(path) for path in side]).T for side in (query, gallery)
        )
        curve, mean_ap, mean_inp, counted = per_query(
            distance, query_ids, gallery_ids, query_cams, gallery_cams, protocol.drop, protocol.cmc, len(gallery)
        )
        np.testing.assert_allclose(ranking.cmc, curve, atol=1e-12)
        assert (ranking.mAP, ranking.mINP) == pytest.approx((mean_ap, mean_inp), abs=1e-12)
        assert (ranking.counted, ranking.skipped) == (counted, len(query) - counted)


def test_score_of_several_protocols_equals_each_alone(tree: Path) -> None:
    dataset = LLCM(root=str(tree))
    matrix, paths = features_of(dataset)
    protocols = protocols_of("LLCM", [])
    together = score(matrix, paths, EvaluationPlan(dataset, protocols))
    assert [result.protocol for result in together] == protocols
    for result in together:
        assert result.means == evaluate_protocol(matrix, paths, result.protocol, tree).means


def test_evaluate_protocol_on_llcm_takes_file_names_and_absolute_paths(tree: Path) -> None:
    dataset = LLCM(root=str(tree))
    matrix, paths = features_of(dataset)
    expected = evaluate_protocol(matrix, paths, "llcm/v2i", tree).means
    assert evaluate_protocol(matrix, [path.split("/")[-1] for path in paths], "llcm/v2i", tree).means == expected
    absolute = [str(dataset.folder.absolute() / path) for path in paths]
    assert evaluate_protocol(matrix, absolute, "llcm/v2i", tree).means == expected


def test_evaluate_protocol_of_a_direction_is_not_its_transpose(tree: Path) -> None:
    """`v2i_transposed` has the drawn infrared images as queries, and is never called v2i."""
    matrix, paths = features_of(LLCM(root=str(tree)))
    original, transposed = (evaluate_protocol(matrix, paths, f"llcm/{n}", tree) for n in ("v2i", "v2i_transposed"))
    visible = sum(path.startswith("test_vis") for path in paths)
    assert original.counted + original.rankings[0].skipped == visible
    assert transposed.counted < visible
    assert len(transposed.rankings[0].cmc) == visible


def test_evaluate_protocol_requires_only_the_images_that_it_uses(tree: Path, features) -> None:
    matrix, paths = features
    indoor = [row for row, path in enumerate(paths) if path[3] in "1236"]
    fewer = [paths[row] for row in indoor]
    found = evaluate_protocol(matrix[indoor], fewer, "sysu/official/indoor/1shot", tree)
    assert found.means == pytest.approx(evaluate_protocol(matrix, paths, "sysu/official/indoor/1shot", tree).means)
    with pytest.raises(FeatureError, match=r"sysu/official/all/1shot: \d+ images have no features, the first: cam[45]"):
        evaluate_protocol(matrix[indoor], fewer, "sysu/official/all/1shot", tree)


@pytest.mark.parametrize("kind", ["float16", "float32", "int8", "torch", "bfloat16"])
def test_evaluate_protocol_takes_any_kind_of_numbers(tree: Path, features, kind: str) -> None:
    matrix = np.round(features[0] * 10)
    expected = evaluate_protocol(matrix, features[1], "sysu/agw/all/1shot", tree).means
    given = torch.from_numpy(matrix) if kind in ("torch", "bfloat16") else matrix.astype(kind)
    given = given.bfloat16() if kind == "bfloat16" else given
    assert evaluate_protocol(given, features[1], "sysu/agw/all/1shot", tree).means == pytest.approx(expected, abs=1)


def test_evaluate_protocol_indoor_skips_queries_without_a_match(tree, features) -> None:
    everything = evaluate_protocol(*features, "sysu/official/all/1shot", tree)
    indoor = evaluate_protocol(*features, "sysu/official/indoor/1shot", tree)
    assert indoor.counted < everything.counted == sum(path.startswith(("cam3", "cam6")) for path in features[1])


def test_evaluate_protocol_of_perfect_features_is_100_in_a_table_that_says_so(tree, features) -> None:
    identities = np.array([int(path.split("/")[1]) for path in features[1]])
    perfect = evaluate_protocol(np.eye(identities.max() + 1)[identities], features[1], "sysu/agw/all/1shot", tree)
    assert perfect.means == pytest.approx(dict.fromkeys(perfect.means, 100.0))
    report = json.loads(json.dumps(perfect.as_json()))
    assert (report["draw"], report["trials"], report["cmc"], report["drop"]) == ("seeded", 10, "distinct_id", "sysu")


def test_evaluate_protocol_ignores_more_images_order_and_scale(tree, features) -> None:
    matrix, paths = features
    expected = evaluate_protocol(matrix, paths, "sysu/official/all/1shot", tree).means
    order = np.random.default_rng(1).permutation(len(paths))
    more = np.concatenate([matrix[order] * np.arange(1, len(paths) + 1)[:, None], matrix[:1]])
    found = evaluate_protocol(more, [*(paths[i] for i in order), "cam1/9999/0001.jpg"], "sysu/official/all/1shot", tree)
    assert found.means == pytest.approx(expected)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda m, p: (m[:-1], p), FeatureError, r"\(n, D\) for n paths"),
        (lambda m, p: (m[:, 0], p), FeatureError, r"\(n, D\) for n paths"),
        (lambda m, p: (np.where(np.arange(len(p))[:, None] == 3, np.nan, m), p), FeatureError, "not finite, the first"),
        (lambda m, p: (m, [p[1], *p[1:]]), FeatureError, "occur more than once, the first: cam3"),
        (lambda m, p: (m[1:], p[1:]), FeatureError, "1 images have no features, the first: cam3"),
    ],
)
def test_evaluate_protocol_of_wrong_features_is_one_error(tree, features, change, error, message) -> None:
    with pytest.raises(error, match=message):
        evaluate_protocol(*change(*features), "sysu/official/all/1shot", tree)


def test_evaluate_protocol_with_a_wrong_name_or_place_is_one_error(tree, features, tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"sysu/official/all/1shot"):
        evaluate_protocol(*features, "sysu/all", tree)
    with pytest.raises(ConfigError, match=r"unknown value 'sysu/agw/all/10shot'"):
        evaluate_protocol(*features, "sysu/agw/all/10shot", tree)
    with pytest.raises(ConfigError, match="has 10 splits"):
        evaluate_protocol(*features, "regdb/v2i", tree)
    with pytest.raises(ConfigError, match="splits 1 to 10, got 11"):
        evaluate_protocol(*features, "regdb/v2i", tree, split=11)
    with pytest.raises(ConfigError, match="no splits"):
        evaluate_protocol(*features, "sysu/agw/all/1shot", tree, split=2)
    with pytest.raises(DataError, match=r"SYSU-MM01 is incomplete"):
        evaluate_protocol(*features, "sysu/agw/all/1shot", tmp_path)
    with pytest.raises(ConfigError, match=r"none of .* scores Market1501"):
        protocols_of("Market1501", ["sysu/agw/all/1shot"])


def test_cross_modality_evaluator_scores_every_protocol_from_one_extraction(tree, features, tmp_path) -> None:
    cfg = small_cfg("SYSU/wrim.yml", "TEST.COMPARE_RANDOM", "True")
    dataset = SYSUMM01(root=str(tree))
    evaluator = evaluator_of(cfg, dataset, tmp_path)
    matrix, paths = features
    for start in range(0, len(paths), 7):
        inputs = {"img_paths": [str(dataset.folder / path) for path in paths[start : start + 7]]}
        evaluator.process(inputs, torch.from_numpy(matrix[start : start + 7]).float())
    scores = evaluator.evaluate()
    expected = evaluate_protocol(matrix.astype(np.float32), paths, cfg.TEST.PROTOCOLS[0], tree).means
    assert scores["metric"] == pytest.approx((expected["Rank-1"] + expected["mAP"]) / 2)
    report = json.loads((tmp_path / "evaluation.json").read_text())
    assert [r["protocol"] for r in report["results"]] == list(cfg.TEST.PROTOCOLS)
    assert [r["protocol"] for r in report["random_features"]] == list(cfg.TEST.PROTOCOLS)
    assert report["settings"] == {"distance": "cosine", "refinement": "", "flip": True}


def test_cross_modality_evaluator_names_postprocessing_in_row_log_and_file(tree, features, tmp_path, log) -> None:
    cfg = small_cfg(
        "SYSU/wrim.yml",
        "TEST.RERANK.ENABLED",
        "True",
        "TEST.AQE.ENABLED",
        "True",
        "TEST.PROTOCOLS",
        "['sysu/agw/all/1shot']",
    )
    evaluator = evaluator_of(cfg, SYSUMM01(root=str(tree)), tmp_path)
    evaluator.process(
        {"img_paths": [str(evaluator.dataset.folder / path) for path in features[1]]}, torch.from_numpy(features[0])
    )
    evaluator.evaluate()
    said = "query expansion (1 x 5, alpha 3) + ordinary re-ranking (k1 20, k2 6, lambda 0.3)"
    assert f"| sysu/agw/all/1shot + {said}" in log.text
    report = json.loads((tmp_path / "evaluation.json").read_text())
    assert report["settings"]["refinement"] == report["results"][0]["refinement"] == said


def test_cross_modality_evaluator_names_the_affinity_inference_of_each_protocol(tree, features, tmp_path, log) -> None:
    names = ["sysu/agw/all/1shot", "sysu/official/all/10shot"]
    cfg = small_cfg("SYSU/wrim.yml", "TEST.AIM.ENABLED", "True", "TEST.PROTOCOLS", str(names))
    dataset = SYSUMM01(root=str(tree))
    evaluator = evaluator_of(cfg, dataset, tmp_path)
    matrix, paths = features
    evaluator.process({"img_paths": [str(dataset.folder / path) for path in paths]}, torch.from_numpy(matrix))
    evaluator.evaluate()
    results = json.loads((tmp_path / "evaluation.json").read_text())["results"]
    expected = ["affinity inference (k1 4, k2 1)", "affinity inference (k1 20, k2 6)"]
    assert [result["refinement"] for result in results] == expected
    for name, numbers, result, said in zip(names, [(4, 1), (20, 6)], results, expected, strict=True):
        assert f"| {name} + {said}" in log.text
        post = PostProcessing(affinity=(("*", *numbers),))
        again = evaluate_protocol(matrix, paths, name, tree, postprocessing=post).means
        assert result["mean"] == pytest.approx(again)


def test_cross_modality_evaluator_saves_features_that_score_the_same(tree, tmp_path) -> None:
    cfg = small_cfg("RegDB/wrim.yml", "TEST.SAVE_FEATURES", "True", "DATASETS.REGDB.SPLIT", "2")
    dataset = dataset_of("RegDB", tree, 2)
    matrix, paths = features_of(dataset)
    evaluator = evaluator_of(cfg, dataset, tmp_path)
    evaluator.process({"img_paths": [str(dataset.folder / path) for path in paths]}, torch.from_numpy(matrix))
    scores = evaluator.evaluate()
    saved = load_features(tmp_path / "features_RegDB.npz")
    assert saved.split == 2
    again = evaluate_protocol(saved.features, saved.paths, "regdb/v2i", tree, 2).means
    assert again == pytest.approx({key: value for key, value in scores.items() if key != "metric"})
