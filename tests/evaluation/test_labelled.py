"""Scores of features and distances with given labels equal those of the loop over queries."""

from typing import Any

import numpy as np
import pytest
from reference.ranking import per_query

from vireid_plugins.errors import ConfigError, FeatureError
from vireid_plugins.evaluation import PostProcessing
from vireid_plugins.evaluation.choices import DROP_NAMES
from vireid_plugins.evaluation.labelled import Scoring, modalities_of, score_labelled
from vireid_plugins.evaluation.metrics import DROPS
from vireid_plugins.evaluation.open_set import enrolled
from vireid_plugins.evaluation.postprocess import NONE

RNG = np.random.default_rng(4)
IDS = np.arange(30) % 6
FEATURES = np.eye(6)[IDS] + 0.6 * RNG.standard_normal((30, 6))
MODALITIES = (np.arange(30) >= 14).astype(int)
CAMS = np.arange(30) % 4
BOTH = {"features": FEATURES, "ids": IDS, "modalities": MODALITIES, "cams": CAMS}


def of(side: np.ndarray, prefix: str) -> dict[str, Any]:
    return {f"{prefix}_features": FEATURES[side], f"{prefix}_ids": IDS[side], f"{prefix}_cams": CAMS[side]}


def expected(query: np.ndarray, gallery: np.ndarray, drop: str, cmc: str) -> tuple[float, float, float]:
    unit = FEATURES / np.linalg.norm(FEATURES, axis=1, keepdims=True)
    labels = (IDS[query], IDS[gallery], CAMS[query], CAMS[gallery])
    curve, mean_ap, mean_inp, _ = per_query(-unit[query] @ unit[gallery].T, *labels, drop, cmc, len(gallery))
    return curve[0], mean_ap, mean_inp


def scores(result: Any) -> tuple[float, float, float]:
    (ranking,) = result.rankings
    return ranking.cmc[0], ranking.mAP, ranking.mINP


@pytest.mark.parametrize("drop", ["none", "same_camera", "sysu"])
@pytest.mark.parametrize("cmc", ["ordinary", "distinct_id"])
def test_score_labelled_equals_the_loop_over_queries(drop: str, cmc: str) -> None:
    visible, infrared = np.flatnonzero(MODALITIES == 0), np.flatnonzero(MODALITIES == 1)
    scoring = Scoring(drop, cmc)
    i2v, v2i = score_labelled(BOTH, scoring)
    assert (i2v.label, v2i.label) == ("i2v (your own labels)", "v2i (your own labels)")
    assert scores(i2v) == pytest.approx(expected(infrared, visible, drop, cmc))
    assert scores(v2i) == pytest.approx(expected(visible, infrared, drop, cmc))
    (sides,) = score_labelled({**of(infrared, "query"), **of(visible, "gallery")}, scoring)
    assert scores(sides) == scores(i2v)
    unit = FEATURES / np.linalg.norm(FEATURES, axis=1, keepdims=True)
    arrays = {**of(infrared, "query"), **of(visible, "gallery"), "distance": -unit[infrared] @ unit[visible].T}
    (distance,) = score_labelled(arrays, scoring)
    assert scores(distance) == scores(i2v)
    assert (distance.metric, distance.as_json()["note"]) == ("given", "your own labels")


@pytest.mark.parametrize("post", [NONE, PostProcessing(rerank="ordinary", k1=4, k2=2)])
def test_score_labelled_of_an_open_set_is_the_score_of_each_enrolled_gallery(post: PostProcessing) -> None:
    visible, infrared = np.flatnonzero(MODALITIES == 0), np.flatnonzero(MODALITIES == 1)
    scoring = Scoring("same_camera", postprocessing=post)
    (result,) = score_labelled({**of(infrared, "query"), **of(visible, "gallery")}, scoring._replace(open_set=True))
    assert (result.label.partition(" + ")[0], len(result.rankings)) == ("query to gallery/open (your own labels)", 10)
    assert all(len(values) == 10 for values in result.scores.values())
    for draw, ranking in enumerate(result.rankings):
        known = visible[np.isin(IDS[visible], enrolled(IDS.tolist(), draw))]
        (alone,) = score_labelled({**of(infrared, "query"), **of(known, "gallery")}, scoring)
        assert scores(alone) == (ranking.cmc[0], ranking.mAP, ranking.mINP)
        assert ranking.open_set is not None
        assert ranking.open_set.impostor.tolist() == (~np.isin(IDS[infrared], IDS[known])).tolist()
    if not post:
        unit = FEATURES / np.linalg.norm(FEATURES, axis=1, keepdims=True)
        arrays = {**of(infrared, "query"), **of(visible, "gallery"), "distance": -unit[infrared] @ unit[visible].T}
        (distance,) = score_labelled(arrays, scoring._replace(open_set=True))
        assert distance.scores == result.scores


@pytest.mark.parametrize("metric", ["euclidean", "inner_product"])
@pytest.mark.parametrize("factor", [1.0, 1e-30, 1e30])
def test_score_labelled_by_other_metrics_is_that_of_their_distances(metric: str, factor: float) -> None:
    visible, infrared = np.flatnonzero(MODALITIES == 0), np.flatnonzero(MODALITIES == 1)
    (i2v, _) = score_labelled({**BOTH, "features": factor * FEATURES}, Scoring(metric=metric))
    products = FEATURES[infrared] @ FEATURES[visible].T
    squares = np.square(FEATURES[infrared][:, None] - FEATURES[visible]).sum(2)
    arrays = {"distance": squares if metric == "euclidean" else -products}
    (given,) = score_labelled({**arrays, **of(infrared, "query"), **of(visible, "gallery")}, Scoring())
    assert scores(i2v) == pytest.approx(scores(given))
    assert i2v.metric == metric


def test_score_labelled_takes_the_matrices_and_words_of_other_programs() -> None:
    words = np.where(MODALITIES == 1, "Thermal", "RGB")
    matlab = {"features": FEATURES.astype(np.float32), "ids": IDS[None], "modalities": MODALITIES[:, None] * 1.0}
    for arrays in (matlab, {"features": FEATURES, "ids": [f"p{i}" for i in IDS], "modalities": words}):
        for one, other in zip(score_labelled(arrays, Scoring()), score_labelled(BOTH, Scoring()), strict=True):
            assert scores(one) == pytest.approx(scores(other))


def test_score_labelled_post_processes_features_and_says_so() -> None:
    post = PostProcessing(rerank="ordinary", k1=5, k2=3)
    (i2v, _) = score_labelled(BOTH, Scoring(postprocessing=post))
    assert "re-ranking" in i2v.label
    assert scores(i2v) != scores(score_labelled(BOTH, Scoring())[0])


@pytest.mark.parametrize(
    ("change", "scoring", "said"),
    [
        ({"modalities": None}, Scoring(), "found features, ids, cams; needed are distance, query_ids, gallery_ids; or"),
        ({"ids": IDS[:5]}, Scoring(), "ids: has 5 values for 30 images"),
        ({"ids": np.zeros((3, 10))}, Scoring(), r"ids: must be one value per image; got \(3, 10\)"),
        ({"modalities": MODALITIES + 1}, Scoring(), "modalities: unknown value '2'; known are visible"),
        ({"modalities": MODALITIES * 0}, Scoring(), "no image is infrared"),
        ({"features": FEATURES * np.nan}, Scoring(), "not finite, the first: row 0"),
        (
            {"features": FEATURES[:, 0]},
            Scoring(),
            r"infrared features: must be \(n, D\) for 16 ident",
        ),
        ({"cams": None}, Scoring(drop="same_camera"), "drop='same_camera' reads the cameras"),
        ({"distance": np.zeros((3, 3)), "query_ids": IDS[:3], "gallery_ids": IDS[:4]}, Scoring(), "do not match"),
        (
            {"query_features": FEATURES, "query_ids": IDS, "gallery_features": FEATURES[:, :3], "gallery_ids": IDS},
            Scoring(),
            r"one width, got 6 \(query\) and 3 \(gallery\)",
        ),
        (
            {"distance": np.zeros((3, 3)), "query_ids": IDS[:3], "gallery_ids": IDS[:3]},
            Scoring(postprocessing=PostProcessing(rerank="ordinary")),
            "need features, and distances are given",
        ),
    ],
)
def test_score_labelled_of_what_does_not_fit_is_one_error(change: dict[str, Any], scoring: Scoring, said: str) -> None:
    arrays = {name: value for name, value in {**BOTH, **change}.items() if value is not None}
    with pytest.raises((FeatureError, ConfigError), match=said):
        score_labelled(arrays, scoring)


def test_modalities_of_knows_numbers_and_words() -> None:
    assert modalities_of(np.array(["rgb", "IR", "night", "1"])).tolist() == [0, 1, 1, 1]
    assert modalities_of(np.array([0.0, 1.0])).tolist() == [0, 1]
    assert modalities_of(np.array([False, True])).tolist() == [0, 1]


def test_names_of_rules_are_those_that_exist() -> None:
    assert set(DROP_NAMES) == set(DROPS)
