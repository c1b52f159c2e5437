"""Affinity inference against the released code's distances, its dense definition, and its limits."""

import numpy as np
import pytest
from helpers import ROOT

from vireid_plugins.config.shared_keys import AIM_NEIGHBORS
from vireid_plugins.errors import ConfigError, FeatureError
from vireid_plugins.evaluation import PostProcessing, evaluate_ranking
from vireid_plugins.evaluation.affinity import affinity_distance
from vireid_plugins.evaluation.protocols import PROTOCOLS

FIXTURE = "saai_salt5"
# Identities, images of each in the gallery and among the queries, width.
CASES = {"aim_small": (12, 5, 2, 32), "aim_regdb_like": (20, 10, 10, 64)}


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def features(case: str, seeds: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Queries and gallery of a case, by formula."""
    identities, in_gallery, asked, dim = CASES[case]
    r = np.random.RandomState(seeds + 8385)
    center, shift = r.standard_normal((identities, dim)), r.standard_normal(dim)
    gallery = np.repeat(center, in_gallery, axis=0) + 1.5 * r.standard_normal((identities * in_gallery, dim))
    query = np.repeat(center, asked, axis=0) + shift + 1.5 * r.standard_normal((identities * asked, dim))
    return unit(query), unit(gallery)


def dense(query: np.ndarray, gallery: np.ndarray, k1: int, k2: int) -> np.ndarray:
    """The definition, with whole matrices."""

    def top(similar: np.ndarray) -> np.ndarray:
        least = np.sort(similar, axis=1)[:, -min(k1, len(gallery)), None]
        return np.where(similar >= least, similar, 0)

    of_gallery = gallery @ gallery.T
    relations = top(of_gallery)
    ranked = of_gallery.copy()
    np.fill_diagonal(ranked, np.inf)
    near = np.argsort(-ranked, axis=1)[:, : min(k1, k2)]
    return -unit(top(query @ gallery.T)) @ unit(relations[near].mean(1)).T - query @ gallery.T


@pytest.fixture(scope="module")
def released() -> dict[str, np.ndarray]:
    with np.load(ROOT / "tests" / "fixtures" / f"{FIXTURE}.npz") as file:
        return {key: file[key] for key in file.files if key.startswith("aim_") or key == "seeds"}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("kind", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-5)])
def test_affinity_distance_equals_released_distances(
    released: dict[str, np.ndarray], case: str, kind: type, tolerance: float
) -> None:
    query, gallery = (x.astype(kind) for x in features(case, int(released.get("seeds", 0))))
    for key, expected in released.items():
        name, _, numbers = key.partition("/")
        if name == case and not numbers.startswith("map"):
            k1, k2 = map(int, numbers.split("_"))
            found = affinity_distance(query, gallery, k1, k2)
            assert found.dtype == kind
            np.testing.assert_allclose(found[: len(expected)], expected, rtol=0, atol=tolerance, err_msg=key)


def test_affinity_distance_equals_released_scores(released: dict[str, np.ndarray]) -> None:
    query, gallery = features("aim_regdb_like", int(released.get("seeds", 0)))
    identities, per_identity, _, _ = CASES["aim_regdb_like"]
    ids = np.repeat(np.arange(identities), per_identity)
    for numbers in ("none", "8_2", "20_6"):
        post = PostProcessing()
        if numbers != "none":
            k1, k2 = map(int, numbers.split("_"))
            post = PostProcessing(affinity=(("*", k1, k2),))
        found = evaluate_ranking(post.distance(query, gallery), ids, ids, None, None, drop="none", cmc="distinct_id")
        scores = [found.mAP, *(found.cmc[rank - 1] for rank in (1, 5, 10, 20))]
        expected = released[f"aim_regdb_like/map_r1_r5_r10_r20_{numbers}"]
        np.testing.assert_allclose(100 * np.array(scores), expected, rtol=1e-12)


@pytest.mark.parametrize(("k1", "k2"), [(1, 1), (3, 2), (7, 5), (60, 60), (3, 5), (1, 6)])
def test_affinity_distance_equals_the_definition(k1: int, k2: int) -> None:
    query, gallery = features("aim_small")
    np.testing.assert_allclose(affinity_distance(query, gallery, k1, k2), dense(query, gallery, k1, k2), atol=1e-12)
    # More neighbors than images are all images.
    np.testing.assert_array_equal(
        affinity_distance(query, gallery, 60, 60), affinity_distance(query, gallery, 100, 100)
    )


def test_affinity_distance_averages_over_no_more_images_than_describe_one() -> None:
    """The public code takes the k2 nearest from among the k1 largest entries, so there are at most k1."""
    query, gallery = features("aim_small")
    for k1 in (1, 4):
        expected = affinity_distance(query, gallery, k1, k1)
        np.testing.assert_array_equal(affinity_distance(query, gallery, k1, k1 + 5), expected)


def test_affinity_distance_in_blocks_is_that_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    query, gallery = features("aim_small")
    whole = affinity_distance(query, gallery, 8, 2)
    monkeypatch.setattr("vireid_plugins.evaluation.affinity.ROWS", 7)
    np.testing.assert_allclose(affinity_distance(query, gallery, 8, 2), whole, atol=1e-14)


def test_affinity_distance_keeps_ties_and_negative_entries() -> None:
    # The two last are equally similar to the query: both stay with k1 = 2, and one is negative with k1 = 3.
    gallery = unit(np.array([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [1.0, 0.0, 1.0], [-1.0, 0.2, 0.2]]))
    query = gallery[:1]
    np.testing.assert_allclose(affinity_distance(query, gallery, 2, 1), dense(query, gallery, 2, 1), atol=1e-12)
    np.testing.assert_allclose(affinity_distance(query, gallery, 4, 1), dense(query, gallery, 4, 1), atol=1e-12)
    # A gallery image and its copy are each their own nearest.
    twice = np.repeat(gallery, 2, axis=0)
    found = affinity_distance(query, twice, 3, 2)
    np.testing.assert_allclose(found[:, ::2], found[:, 1::2], atol=1e-12)


def test_postprocessing_takes_the_numbers_of_its_protocol() -> None:
    post = PostProcessing(affinity=AIM_NEIGHBORS)
    assert str(post) == "affinity inference (k1, k2 by protocol)"
    expected = {
        "sysu/official/all/1shot": (4, 1),
        "sysu/agw/all/1shot": (4, 1),
        "sysu/official/all/1shot/open": (4, 1),
        "sysu/official/all/10shot": (20, 6),
        "sysu/official/indoor/1shot": (2, 2),
        "sysu/official/indoor/10shot": (20, 6),
        "regdb/v2i/distinct_id": (8, 2),
    }
    for name, (k1, k2) in expected.items():
        assert name.removesuffix("/open") in PROTOCOLS
        assert str(post.at(name)) == f"affinity inference (k1 {k1}, k2 {k2})"
    assert not PostProcessing().at("regdb/v2i")
    with pytest.raises(ConfigError, match=r"TEST\.AIM\.NEIGHBORS: no row is for regdb/v2i; there are sysu/\*"):
        PostProcessing(affinity=(("sysu/*", 4, 1),)).at("regdb/v2i")


def test_postprocessing_refuses_what_affinity_inference_cannot_take() -> None:
    query, gallery = features("aim_small")
    with pytest.raises(FeatureError, match="k1 and k2 must be at least 1; got 0, 1"):
        affinity_distance(query, gallery, 0, 1)
    affinity = (("*", 4, 1),)
    with pytest.raises(ConfigError, match=r"\(TEST\.AIM\) needs the cosine, but TEST\.METRIC is euclidean"):
        PostProcessing(affinity=affinity).check("euclidean")
    with pytest.raises(ConfigError, match=r"\(TEST\.AIM\) excludes re-ranking"):
        PostProcessing(affinity=affinity, rerank="ordinary").check("cosine")
    with pytest.raises(ConfigError, match=r"TEST\.AIM\.NEIGHBORS: invalid row \('\*', 0, 1\)"):
        PostProcessing(affinity=(("*", 0, 1),)).check("cosine")
