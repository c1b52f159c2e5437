import numpy as np
import pytest

from vireid_plugins.errors import FeatureError
from vireid_plugins.evaluation import evaluate_ranking
from vireid_plugins.evaluation.metrics import Ranking
from vireid_plugins.evaluation.places import CMCS, DROPS


def naive(distance, query_ids, gallery_ids, query_cams, gallery_cams, drop, cmc):
    """Query by query, written from the definitions."""
    ranks, precisions, inverses = [], [], []
    for q in range(len(query_ids)):
        order = sorted(range(len(gallery_ids)), key=lambda g: (distance[q][g], g))
        if drop == "sysu":
            order = [g for g in order if not (query_cams[q] == 3 and gallery_cams[g] == 2)]
        if drop == "same_camera":
            order = [g for g in order if not (query_ids[q] == gallery_ids[g] and query_cams[q] == gallery_cams[g])]
        hits = [place for place, g in enumerate(order, start=1) if gallery_ids[g] == query_ids[q]]
        if not hits:
            continue
        precisions.append(np.mean([n / place for n, place in enumerate(hits, start=1)]))
        inverses.append(len(hits) / hits[-1])
        if cmc == "ordinary":
            ranks.append(hits[0])
        else:
            seen = list(dict.fromkeys(gallery_ids[g] for g in order))
            ranks.append(seen.index(query_ids[q]) + 1)
    if not ranks:
        return None
    curve = [np.mean([rank <= r for rank in ranks]) for r in range(1, len(gallery_ids) + 1)]
    return curve, np.mean(precisions), np.mean(inverses), len(ranks)


def case(seed: int):
    rng = np.random.default_rng(seed)
    queries, gallery, identities = rng.integers(1, 30), rng.integers(1, 40), rng.integers(1, 12)
    # Few distinct distances, so that ties are the rule.
    distance = rng.integers(0, rng.integers(2, 60), (queries, gallery)).astype(float)
    labels = [rng.integers(0, n, k) for n, k in ((identities, queries), (identities, gallery))]
    return (distance, *labels, rng.integers(1, 7, queries), rng.integers(1, 7, gallery))


@pytest.mark.parametrize("drop", DROPS)
@pytest.mark.parametrize("cmc", CMCS)
def test_the_naive_loop_on_random_cases_with_ties_and_missing_identities(drop: str, cmc: str) -> None:
    compared = 0
    for seed in range(120):
        arguments = (*case(seed), drop, cmc)
        expected = naive(*arguments)
        if expected is None:
            with pytest.raises(FeatureError, match="no query has a match"):
                evaluate_ranking(*arguments)
            continue
        curve, mean_ap, mean_inp, counted = expected
        found = evaluate_ranking(*arguments)
        assert found.counted == counted
        np.testing.assert_allclose(found.cmc, curve, atol=1e-12)
        assert found.mAP == pytest.approx(mean_ap, abs=1e-12)
        assert found.mINP == pytest.approx(mean_inp, abs=1e-12)
        compared += 1
    assert compared > 80


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = (*case(5), "sysu", "distinct_id")
    whole = evaluate_ranking(*arguments)
    monkeypatch.setattr("vireid_plugins.evaluation.metrics.CHUNK", 3)
    parts = evaluate_ranking(*arguments)
    np.testing.assert_allclose(parts.cmc, whole.cmc)
    assert (parts.mAP, parts.mINP, parts.counted) == pytest.approx((whole.mAP, whole.mINP, whole.counted))


def score(distance, gallery_ids, drop="none", cmc="ordinary", query_cam=3, gallery_cams=None) -> Ranking:
    cams = np.array(gallery_cams or [1] * len(gallery_ids))
    return evaluate_ranking(
        np.array([distance], float), np.array([7]), np.array(gallery_ids), np.array([query_cam]), cams, drop, cmc
    )


def test_by_hand() -> None:
    """Ranking 5 5 7 6 7: first hit third among images, second among identities; AP (1/3 + 2/5) / 2; INP 2/5."""
    for cmc, rank in (("ordinary", 3), ("distinct_id", 2)):
        found = score([1, 2, 3, 4, 5], [5, 5, 7, 6, 7], cmc=cmc)
        assert found.cmc.tolist() == [float(r >= rank) for r in range(1, 6)]
        assert found.mAP == pytest.approx((1 / 3 + 2 / 5) / 2)
        assert found.mINP == pytest.approx(2 / 5)


def test_the_drop_rules() -> None:
    cams = [2, 1, 2]
    assert score([1, 2, 3], [5, 7, 7], "none", gallery_cams=cams).cmc[0] == 0
    # A camera-3 query sees no camera-2 image of any identity; a camera-6 query does.
    assert score([1, 2, 3], [5, 7, 7], "sysu", gallery_cams=cams).cmc[0] == 1
    assert score([1, 2, 3], [5, 7, 7], "sysu", query_cam=6, gallery_cams=cams).cmc[0] == 0
    # Same identity and same camera.
    assert score([1, 2, 3], [7, 5, 7], "same_camera", query_cam=2, gallery_cams=[2, 1, 1]).cmc[0] == 0
    assert score([2, 1, 3], [7, 7, 5], "same_camera", query_cam=2, gallery_cams=[2, 1, 2]).cmc[0] == 1


def test_ties_rank_in_gallery_order() -> None:
    assert score([0, 0], [7, 5]).cmc[0] == 1
    assert score([0, 0], [5, 7]).cmc[0] == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"distance": np.zeros((2, 2))}, "do not fit"),
        ({"distance": np.full((1, 2), np.nan)}, "NaN"),
        ({"drop": "camera"}, "sysu"),
        ({"cmc": "market"}, "distinct_id"),
    ],
)
def test_what_is_wrong_is_one_error(change: dict, message: str) -> None:
    arguments = {
        "distance": np.zeros((1, 2)),
        "query_ids": np.zeros(1),
        "gallery_ids": np.zeros(2),
        "query_cams": np.zeros(1),
        "gallery_cams": np.zeros(2),
    } | change
    with pytest.raises(FeatureError, match=message):
        evaluate_ranking(**arguments)
