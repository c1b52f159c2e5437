import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import small_cfg

from vireid_plugins.data.datasets import SYSUMM01
from vireid_plugins.errors import ConfigError, DataError, FeatureError
from vireid_plugins.evaluation import PROTOCOLS, CrossModalityEvaluator, evaluate_protocol, evaluate_ranking
from vireid_plugins.evaluation.draws import draw_trials
from vireid_plugins.evaluation.protocols import protocols_of


@pytest.fixture
def features(tree: Path) -> tuple[np.ndarray, list[str]]:
    dataset = SYSUMM01(root=str(tree))
    paths = [str(Path(p).relative_to(dataset.folder)) for p, _, _ in (*dataset.query, *dataset.gallery)]
    return np.random.default_rng(0).standard_normal((len(paths), 16)), paths


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_protocol_is_its_definition(tree: Path, features: tuple[np.ndarray, list[str]], name: str) -> None:
    matrix, paths = features
    protocol = PROTOCOLS[name]
    dataset = SYSUMM01(root=str(tree))
    row = {path: vector / np.linalg.norm(vector) for path, vector in zip(paths, matrix, strict=True)}
    queries = [path for path in paths if path.startswith(("cam3", "cam6"))]
    found = evaluate_protocol(matrix, paths, name, tree)
    assert len(found.rankings) == protocol.trials == 10
    for trial, gallery in enumerate(draw_trials(dataset, protocol)):
        cameras = {int(path[3]) for path in gallery}
        assert cameras <= ({1, 2} if protocol.mode == "indoor" else {1, 2, 4, 5})
        counts = {}
        for path in gallery:
            counts[path[:9]] = counts.get(path[:9], 0) + 1
        assert max(counts.values()) <= protocol.shots
        distance = np.array([[1 - row[q] @ row[g] for g in gallery] for q in queries])
        expected = evaluate_ranking(
            distance,
            np.array([int(q[5:9]) for q in queries]),
            np.array([int(g[5:9]) for g in gallery]),
            np.array([int(q[3]) for q in queries]),
            np.array([int(g[3]) for g in gallery]),
            "sysu",
            "distinct_id",
        )
        np.testing.assert_allclose(found.rankings[trial].cmc, expected.cmc)
        assert found.rankings[trial].mAP == pytest.approx(expected.mAP)


def test_indoor_search_skips_queries_without_a_match_and_counts_the_rest(tree, features) -> None:
    everything = evaluate_protocol(*features, "sysu/official/all/1shot", tree)
    indoor = evaluate_protocol(*features, "sysu/official/indoor/1shot", tree)
    assert indoor.counted < everything.counted == sum(path.startswith(("cam3", "cam6")) for path in features[1])


def test_perfect_features_score_100_and_the_table_says_what_it_is(tree, features) -> None:
    identities = np.array([int(path.split("/")[1]) for path in features[1]])
    perfect = evaluate_protocol(np.eye(identities.max() + 1)[identities], features[1], "sysu/agw/all/1shot", tree)
    assert perfect.means == pytest.approx(dict.fromkeys(perfect.means, 100.0))
    report = json.loads(json.dumps(perfect.as_json()))
    assert (report["draw"], report["trials"], report["cmc"], report["drop"]) == ("agw", 10, "distinct_id", "sysu")


def test_more_images_order_and_scale_do_not_matter(tree, features) -> None:
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
def test_what_is_wrong_with_features_is_one_error(tree, features, change, error, message) -> None:
    with pytest.raises(error, match=message):
        evaluate_protocol(*change(*features), "sysu/official/all/1shot", tree)


def test_wrong_names_and_places_are_one_error(tree, features, tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"sysu/official/all/1shot"):
        evaluate_protocol(*features, "sysu/all", tree)
    with pytest.raises(ConfigError, match=r"sysu/agw/all/10shot' does not exist"):
        evaluate_protocol(*features, "sysu/agw/all/10shot", tree)
    with pytest.raises(FeatureError, match="no splits"):
        evaluate_protocol(*features, "sysu/agw/all/1shot", tree, split=2)
    with pytest.raises(DataError, match=r"SYSU-MM01 is not complete"):
        evaluate_protocol(*features, "sysu/agw/all/1shot", tmp_path)
    with pytest.raises(ConfigError, match=r"none of .* scores Market1501"):
        protocols_of("Market1501", ["sysu/agw/all/1shot"])


def test_the_evaluator_scores_every_protocol_from_one_extraction(tree, features, tmp_path) -> None:
    cfg = small_cfg("SYSU/wrim.yml", "TEST.COMPARE_RANDOM", "True")
    dataset = SYSUMM01(root=str(tree))
    evaluator = CrossModalityEvaluator(cfg, dataset, str(tmp_path))
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
    assert report["settings"] == {"distance": "cosine", "rerank": False, "flip": True}
