from typing import Any

import numpy as np
import pytest
import torch
from reference.ranking import per_query

from vireid_plugins.errors import FeatureError
from vireid_plugins.evaluation import evaluate_ranking
from vireid_plugins.evaluation.metrics import CMCS, DROPS, Ranking


def case(seed: int):
    rng = np.random.default_rng(seed)
    queries, gallery, identities = rng.integers(1, 30), rng.integers(1, 40), rng.integers(1, 12)
    # Few distinct distances, so that ties are the rule.
    distance = rng.integers(0, rng.integers(2, 60), (queries, gallery)).astype(float)
    labels = [rng.integers(0, n, k) for n, k in ((identities, queries), (identities, gallery))]
    return (distance, *labels, rng.integers(1, 7, queries), rng.integers(1, 7, gallery))


@pytest.mark.parametrize("drop", DROPS)
@pytest.mark.parametrize("cmc", CMCS)
def test_evaluate_ranking_of_ties_and_missing_identities_equals_the_loop_over_queries(drop: str, cmc: str) -> None:
    compared = 0
    for seed in range(120):
        arguments = (*case(seed), drop, cmc)
        expected = per_query(*arguments, ranks=arguments[0].shape[1])
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


@pytest.mark.parametrize("drop", DROPS)
@pytest.mark.parametrize("cmc", CMCS)
def test_evaluate_ranking_counts_tensors_as_arrays(drop: str, cmc: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The form that runs on devices, on the CPU, in one part and in many."""
    for seed in range(60):
        distance, *labels = case(seed)
        if per_query(distance, *labels, drop, cmc) is None:
            continue
        expected = evaluate_ranking(distance, *labels, drop, cmc)
        for elements in (2**27, 40):
            monkeypatch.setattr("vireid_plugins.evaluation.rank_positions.DEVICE_ELEMENTS", elements)
            found = evaluate_ranking(torch.from_numpy(distance), *labels, drop, cmc)
            np.testing.assert_array_equal(found.cmc, expected.cmc)
            assert (found.mAP, found.mINP) == pytest.approx((expected.mAP, expected.mINP), abs=1e-12)
            assert (found.counted, found.skipped) == (expected.counted, expected.skipped)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_evaluate_ranking_in_any_number_of_threads_is_the_same(threads: int) -> None:
    rng = np.random.default_rng(0)
    distance, ids, cams = rng.integers(0, 50, (400, 90)).astype(float), rng.integers(0, 9, 490), np.ones(490)
    arguments = (distance, ids[:400], ids[400:], cams[:400], cams[400:], "none", "distinct_id")
    curve, mean_ap, mean_inp, counted = per_query(*arguments, ranks=90)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        found = evaluate_ranking(*arguments)
    finally:
        torch.set_num_threads(before)
    np.testing.assert_allclose(found.cmc, curve, atol=1e-12)
    assert (found.mAP, found.mINP, found.counted) == pytest.approx((mean_ap, mean_inp, counted))


def mpanet(distance, query_ids, gallery_ids, query_cams, gallery_cams, drop):
    """MPANet's way (repository DoctorHi/MPANet): ranked identities with -1 where dropped, per query."""
    curves, precisions = [], []
    for q in range(len(query_ids)):
        result = gallery_ids[np.argsort(distance[q], kind="stable")].astype(float)
        cams = gallery_cams[np.argsort(distance[q], kind="stable")]
        if drop == "sysu" and query_cams[q] == 3:
            result[cams == 2] = -1
        result = result[result != -1]
        matches = np.flatnonzero(result == query_ids[q])
        if not len(matches):
            continue
        unique = result[np.sort(np.unique(result, return_index=True)[1])]
        curves.append(np.arange(20) >= np.flatnonzero(unique == query_ids[q])[0])
        precisions.append(np.mean(np.arange(1, len(matches) + 1) / (matches + 1)))
    return np.mean(curves, axis=0), np.mean(precisions)


@pytest.mark.parametrize(
    ("drop", "cmc"),
    [("sysu", "distinct_id"), ("none", "ordinary"), ("none", "distinct_id"), ("same_camera", "distinct_id")],
)
def test_evaluate_ranking_equals_the_fields_code(drop: str, cmc: str) -> None:
    """AGW's and DEEN's loops (SYSU, RegDB, LLCM) and MPANet's, on float64 cosines with twins in the gallery."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        features = rng.standard_normal((150, 16))
        features[120:] = features[90:120]
        features /= np.linalg.norm(features, axis=1, keepdims=True)
        distance = -(features[:60] @ features[60:].T)
        ids, cams = rng.integers(0, 25, 150), rng.integers(1, 7, 150)
        labels = (ids[:60], ids[60:], cams[:60], cams[60:])
        found = evaluate_ranking(distance, *labels, drop, cmc)
        expected = per_query(distance, *labels, drop, cmc)
        np.testing.assert_allclose(found.cmc[:20], expected.cmc, atol=1e-9)
        assert (found.mAP, found.mINP) == pytest.approx((expected.mAP, expected.mINP), abs=1e-9)
        if cmc == "distinct_id" and drop != "same_camera":
            curve, precision = mpanet(distance, *labels, drop)
            np.testing.assert_allclose(found.cmc[:20], curve, atol=1e-9)
            assert found.mAP == pytest.approx(precision, abs=1e-9)


def test_evaluate_ranking_puts_infinite_distances_last_and_dropped_ones_nowhere() -> None:
    found = score([np.inf, 1.0, np.inf], [7, 5, 7], "sysu", gallery_cams=[2, 1, 1])
    assert found.cmc.tolist() == [0, 1, 1]
    assert found.mINP == pytest.approx(0.5)


def score(distance, gallery_ids, drop="none", cmc="ordinary", query_cam=3, gallery_cams=None) -> Ranking:
    cams = np.array(gallery_cams or [1] * len(gallery_ids))
    return evaluate_ranking(
        np.array([distance], float), np.array([7]), np.array(gallery_ids), np.array([query_cam]), cams, drop, cmc
    )


def test_evaluate_ranking_equals_a_case_counted_by_hand() -> None:
    """Ranking 5 5 7 6 7: first hit third among images, second among identities; AP (1/3 + 2/5) / 2; INP 2/5."""
    for cmc, rank in (("ordinary", 3), ("distinct_id", 2)):
        found = score([1, 2, 3, 4, 5], [5, 5, 7, 6, 7], cmc=cmc)
        assert found.cmc.tolist() == [float(r >= rank) for r in range(1, 6)]
        assert found.mAP == pytest.approx((1 / 3 + 2 / 5) / 2)
        assert found.mINP == pytest.approx(2 / 5)


def test_evaluate_ranking_with_each_drop_rule_drops_what_it_says() -> None:
    cams = [2, 1, 2]
    assert score([1, 2, 3], [5, 7, 7], "none", gallery_cams=cams).cmc[0] == 0
    # A camera-3 query sees no camera-2 image of any identity; a camera-6 query does.
    assert score([1, 2, 3], [5, 7, 7], "sysu", gallery_cams=cams).cmc[0] == 1
    assert score([1, 2, 3], [5, 7, 7], "sysu", query_cam=6, gallery_cams=cams).cmc[0] == 0
    # Same identity and same camera.
    assert score([1, 2, 3], [7, 5, 7], "same_camera", query_cam=2, gallery_cams=[2, 1, 1]).cmc[0] == 0
    assert score([2, 1, 3], [7, 7, 5], "same_camera", query_cam=2, gallery_cams=[2, 1, 2]).cmc[0] == 1


def test_evaluate_ranking_puts_ties_in_gallery_order() -> None:
    assert score([0, 0], [7, 5]).cmc[0] == 1
    assert score([0, 0], [5, 7]).cmc[0] == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"distance": np.zeros((2, 2))}, "do not match"),
        ({"distance": np.full((1, 2), np.nan)}, "NaN"),
        ({"query_ids": np.array(["0"])}, "query_ids has <U1 and gallery_ids .*64, so none of them can be equal"),
        ({"gallery_ids": ["0", "0"]}, "query_ids has .*64 and gallery_ids <U1, so none of them can be equal"),
        ({"drop": "camera"}, "sysu"),
        ({"cmc": "market"}, "distinct_id"),
    ],
)
def test_evaluate_ranking_with_wrong_arguments_is_one_error(change: dict, message: str) -> None:
    arguments = {
        "distance": np.zeros((1, 2)),
        "query_ids": np.zeros(1),
        "gallery_ids": np.zeros(2),
        "query_cams": np.zeros(1),
        "gallery_cams": np.zeros(2),
    } | change
    with pytest.raises(FeatureError, match=message):
        evaluate_ranking(**arguments)


def test_evaluate_ranking_drops_nothing_and_counts_ordinarily_unless_told() -> None:
    rng = np.random.default_rng(0)
    distance, ids, cams = rng.random((6, 9)), (rng.integers(0, 3, 6), np.arange(9) % 3), (np.arange(6) % 2, np.ones(9))
    plain = evaluate_ranking(distance, *ids, *cams)
    assert np.array_equal(plain.cmc, evaluate_ranking(distance, *ids, *cams, drop="none", cmc="ordinary").cmc)


def distances(seed: int = 0) -> tuple[np.ndarray, list[np.ndarray]]:
    """Whole numbers up to 40, and labels with camera 3 among the queries."""
    rng = np.random.default_rng(seed)
    cams = np.where(np.arange(20) % 2, 3, 6), rng.choice([1, 2, 4, 5], 30)
    return rng.integers(0, 40, (20, 30)), [rng.integers(0, 6, 20), rng.integers(0, 6, 30), *cams]


@pytest.mark.parametrize(
    "given",
    [
        *("i1", "u1", "i2", "i4", "i8", "u8", "f2", "f4", "f8", ">f4", ">i4", "g"),
        *(torch.uint8, torch.int32, torch.int64, torch.float16, torch.bfloat16, torch.float32),
        list,
        lambda matrix: np.asfortranarray(matrix)[:],
        lambda matrix: np.repeat(matrix, 2, axis=1)[:, ::2],
        lambda matrix: torch.tensor(matrix.T.copy(), dtype=torch.float32, requires_grad=True).T,
    ],
)
@pytest.mark.parametrize("drop", DROPS)
def test_evaluate_ranking_of_any_type_equals_double_precision(given: Any, drop: str) -> None:
    matrix, labels = distances()
    expected = evaluate_ranking(matrix.astype(float), *labels, drop)
    if isinstance(given, str):
        typed = matrix.astype(given)
    elif isinstance(given, torch.dtype):
        typed = torch.tensor(matrix).to(given)
    else:
        typed = given(matrix.tolist() if given is list else matrix)
    found = evaluate_ranking(typed, *labels, drop)
    assert found.cmc.tolist() == expected.cmc.tolist()
    assert (found.mAP, found.mINP, found.counted) == pytest.approx((expected.mAP, expected.mINP, expected.counted))


def test_evaluate_ranking_of_booleans_hides_what_the_rule_drops() -> None:
    matrix, labels = distances()
    for near in (matrix < 20, torch.tensor(matrix < 20)):
        found = evaluate_ranking(near, *labels, "sysu")
        assert found.mAP == pytest.approx(evaluate_ranking((matrix < 20).astype(float), *labels, "sysu").mAP)


@pytest.mark.parametrize(
    ("distance", "message"),
    [
        ([["a", "b"]], "real numbers; got <U1"),
        ([[1, 2], [3]], "real numbers"),
        (np.array([[1 + 2j, 0]]), "real numbers; got complex128"),
        (np.array([[1, None]]), "real numbers; got object"),
        (np.ma.masked_less(np.array([[1.0, 2]]), 2), "masked array"),
        (torch.eye(2).to_sparse(), "dense tensor of real numbers"),
        (torch.ones(1, 2, dtype=torch.complex64), "dense tensor of real numbers"),
        (torch.ones(1, 2, device="meta"), "dense tensor of real numbers; got one without values$"),
        ([torch.ones(2, device="meta")], "a matrix of real numbers: can't convert meta device type tensor to numpy"),
        (np.zeros(3), r"\(queries, gallery\); got the shape \(3,\)"),
        (torch.full((1, 2), torch.nan), "contain NaN, 2 of 2"),
    ],
)
def test_evaluate_ranking_of_what_are_no_distances_is_one_error(distance: Any, message: str) -> None:
    with pytest.raises(FeatureError, match=message):
        evaluate_ranking(distance, [1], [1, 2])


def test_evaluate_ranking_takes_names_and_reads_cameras_only_if_the_rule_does() -> None:
    matrix, (query_ids, gallery_ids, query_cams, gallery_cams) = distances()
    named = [np.char.add("p", ids.astype(str)) for ids in (query_ids, gallery_ids)]
    plain = evaluate_ranking(matrix, query_ids, gallery_ids)
    for cams in ((None, None), (np.array(["c"] * 20), np.array(["d"] * 30)), (query_cams, None)):
        assert evaluate_ranking(matrix, *named, *cams).mAP == plain.mAP
    same = evaluate_ranking(matrix, query_ids, gallery_ids, query_cams % 2, gallery_cams % 2, "same_camera")
    objects = [np.array([f"c{cam % 2}" for cam in cams], object) for cams in (query_cams, gallery_cams)]
    assert evaluate_ranking(matrix, *named, *objects, "same_camera").mAP == same.mAP
    assert same.mAP != plain.mAP


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"query_cams": None}, "query_cams: drop='sysu' reads the cameras"),
        ({"gallery_cams": None}, "gallery_cams: drop='sysu' reads the cameras"),
        ({"gallery_cams": ["a"] * 30}, "gallery_cams: drop='sysu' needs camera numbers"),
        ({"query_cams": [1.5] * 20}, "query_cams: drop='sysu' needs camera numbers"),
        ({"query_cams": ["a"] * 20, "drop": "same_camera"}, "query_cams has <U1 and gallery_cams int64"),
        ({"gallery_ids": ["1"] * 30}, "query_ids has int64 and gallery_ids <U1"),
        ({"query_ids": [[1]] * 20}, r"query_ids: must be one number or name per image; got \(20, 1\)"),
        ({"gallery_ids": [1.0, np.nan] * 15}, "gallery_ids: contains NaN"),
        ({"query_cams": [1], "drop": "none"}, "query_cams: the sizes do not match"),
    ],
)
def test_evaluate_ranking_of_wrong_labels_names_them(change: dict[str, Any], message: str) -> None:
    matrix, labels = distances()
    names = ("query_ids", "gallery_ids", "query_cams", "gallery_cams")
    with pytest.raises(FeatureError, match=message):
        evaluate_ranking(matrix, **{**dict(zip(names, labels, strict=True)), "drop": "sysu", **change})


def test_evaluate_ranking_of_a_single_camera_names_the_rule() -> None:
    with pytest.raises(FeatureError, match=r'camera rule drop="same_camera" .*single camera need drop="none"'):
        evaluate_ranking([[1, 2]], [1], [1, 1], [1], [1, 1], "same_camera")
    with pytest.raises(FeatureError, match="share no identity"):
        evaluate_ranking([[1, 2]], [1], [2, 2], [1], [1, 1], "same_camera")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1000], [5, 60]), r"queries 1000, gallery 5, 60\)$"),
        ((["anna"], ["bob", "eve"]), r"queries anna, gallery bob, eve\)$"),
        ((["anna"], ["anna", "anna"], ["c7"], ["c7", "c7"], "same_camera"), r"from cameras c7, the gallery from c7\)"),
        (([9], [9, 9], [3], [2, 2], "sysu"), r"from cameras 3, the gallery from 2\)"),
    ],
)
def test_evaluate_ranking_without_a_match_names_labels_as_given(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(FeatureError, match=message):
        evaluate_ranking([[1, 2]], *arguments)


@pytest.mark.parametrize("of", [np.zeros, torch.zeros], ids=["array", "tensor"])
def test_evaluate_ranking_of_an_empty_gallery_says_so(of: Any) -> None:
    with pytest.raises(FeatureError, match=r"there are 2 queries and 0 gallery images$"):
        evaluate_ranking(of((2, 0)), [1, 2], [])
    with pytest.raises(FeatureError, match=r"there are 0 queries and 2 gallery images$"):
        evaluate_ranking(of((0, 2)), [], [1, 2])


def test_evaluate_ranking_tells_large_whole_numbers_apart() -> None:
    most = 2**60
    near = np.array([[1.0, 2.0], [1.0, 2.0]])
    for names in (np.array([most, most + 1], np.uint64), np.array([most, most + 1])):
        assert evaluate_ranking(near, np.array([most, most + 1]), names).mAP == 0.75
    for distance in (
        np.array([[most + 1, most]]),
        np.array([[most + 1, most]], np.uint64),
        torch.tensor([[most + 1, most]]),
        np.array([[-most, -most - 1]]),
    ):
        assert evaluate_ranking(distance, [0], [0, 1]).mAP == 0.5


NO_LABELS = {
    "ragged": ([[1], [1, 2]], "setting an array element with a sequence"),
    "ragged, of objects": (np.array([[1], [1, 2]], object), "setting an array element with a sequence"),
    "sparse": (torch.ones(2).to_sparse(), "can't convert Sparse layout tensor to numpy"),
    "without values": (torch.ones(2, device="meta"), "Cannot copy out of meta tensor"),
    # As of tensors on a GPU.
    "in a list": ([torch.ones((), device="meta")] * 2, "can't convert meta device type tensor to numpy"),
}


@pytest.mark.parametrize("kind", NO_LABELS)
def test_evaluate_ranking_of_what_are_no_labels_is_one_error(kind: str) -> None:
    labels, said = NO_LABELS[kind]
    with pytest.raises(FeatureError, match=f"^gallery_ids: must be one number or name per image: {said}"):
        evaluate_ranking([[1, 2]], [1], labels)
    with pytest.raises(FeatureError, match=f"^gallery_cams: must be one number or name per image: {said}"):
        evaluate_ranking([[1, 2]], [1], [1, 2], [1], labels, drop="sysu")


def test_evaluate_ranking_of_cameras_that_no_rule_reads_counts_them() -> None:
    with pytest.raises(FeatureError, match=r"^gallery_cams: must be one number or name per image: setting an array"):
        evaluate_ranking([[1, 2]], [1], [1, 2], [1], [[1], [1, 2]])
    with pytest.raises(FeatureError, match=r"^gallery_cams: the sizes do not match: \(3,\) cameras for 2 images"):
        evaluate_ranking([[1, 2]], [1], [1, 2], [1], torch.ones(3))
    assert evaluate_ranking([[1, 2]], [1], [1, 2], None, [object(), object()]).mAP == 1


def test_evaluate_ranking_takes_labels_of_half_precision_and_no_masked_ones() -> None:
    near = np.array([[1.0, 2.0], [1.0, 2.0]])
    assert evaluate_ranking(near, torch.tensor([1, 2], dtype=torch.bfloat16), [1, 2]).mAP == 0.75
    with pytest.raises(FeatureError, match="query_ids: must not be masked"):
        evaluate_ranking(near, np.ma.masked_equal([1, 2], 2), [1, 2])
