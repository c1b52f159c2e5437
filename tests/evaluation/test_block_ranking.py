"""Ranking block by block gives the very numbers of ranking the whole matrix."""

from typing import Any

import numpy as np
import pytest

from vireid_plugins.evaluation import block_ranking, feature_ranking, lengths
from vireid_plugins.evaluation.block_ranking import bounds, count_in_blocks
from vireid_plugins.evaluation.distances import cross_distances
from vireid_plugins.evaluation.feature_rows import FeatureRows, comparable
from vireid_plugins.evaluation.labelled import Scoring, score_labelled
from vireid_plugins.evaluation.metrics import DROPS
from vireid_plugins.evaluation.rank_positions import Selection, count_positions
from vireid_plugins.evaluation.types import Labels

QUERIES, IMAGES, PEOPLE, WIDTH = 150, 700, 40, 8


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in (("QUERIES", 64), ("IMAGES", 128), ("SEEN", 64 * PEOPLE)):
        monkeypatch.setattr(block_ranking, name, size)


def features(count: int, seed: int, kind: Any = np.float32) -> Any:
    """Small whole numbers, whose products are exact and often equal."""
    return np.random.default_rng(seed).integers(-2, 3, (count, WIDTH)).astype(kind) + kind(0.5)


def selection(drop: str = "none", distinct: bool = False) -> Selection:
    """Rows and columns in no order, people on one side only, several cameras."""
    rng = np.random.default_rng(7)
    rows, columns = rng.permutation(QUERIES + 30)[:QUERIES], rng.permutation(IMAGES + 50)[:IMAGES]
    labels = [Labels(rng.integers(0, PEOPLE + 5, n), rng.integers(1, 5, n)) for n in (QUERIES, IMAGES)]
    labels[1] = Labels(labels[1].ids + 3, labels[1].cams)
    return Selection(rows, columns, *labels, DROPS[drop], distinct)


@pytest.mark.parametrize("metric", ["cosine", "euclidean", "inner_product"])
@pytest.mark.parametrize("drop", ["none", "same_camera", "sysu"])
@pytest.mark.parametrize("distinct", [False, True])
def test_count_in_blocks_equals_count_positions(metric: str, drop: str, distinct: bool) -> None:
    """With many ties, except under the cosine, whose rounding depends on how a library splits a product."""
    given = [features(QUERIES + 30, 1), features(IMAGES + 50, 2, np.float16)]
    if metric == "cosine":
        given = [np.random.default_rng(len(one)).standard_normal((len(one), 64)).astype(one.dtype) for one in given]
    query, gallery = (FeatureRows(one, comparable(metric, (0, 3))) for one in given)
    chosen = selection(drop, distinct)
    (expected,) = count_positions(cross_distances(query.whole(), gallery.whole(), metric), [chosen])
    found = count_in_blocks(query, gallery, metric, chosen)
    assert (expected.first > 0).any()
    assert all(np.array_equal(one, other) for one, other in zip(found, expected, strict=True))


def test_count_in_blocks_takes_the_distance_of_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """Products of other sizes may round differently."""
    query, gallery = (FeatureRows(features(n, seed), lambda rows: rows) for n, seed in ((180, 1), (750, 2)))
    chosen = selection(distinct=True)
    (expected,) = count_positions(cross_distances(query.whole(), gallery.whole(), "inner_product"), [chosen])
    distances = block_ranking._Block._distances
    monkeypatch.setattr(block_ranking._Block, "_distances", lambda *given: distances(*given) + np.float32(0.25))
    found = count_in_blocks(query, gallery, "inner_product", chosen)
    assert all(np.array_equal(one, other) for one, other in zip(found, expected, strict=True))


@pytest.mark.parametrize("cmc", ["ordinary", "distinct_id"])
def test_score_labelled_in_blocks_gives_the_same_scores(monkeypatch: pytest.MonkeyPatch, cmc: str) -> None:
    rng = np.random.default_rng(3)
    sides = {"query": (QUERIES, np.float32), "gallery": (IMAGES, np.float16)}
    arrays = {f"{name}_features": rng.standard_normal((n, 64)).astype(kind) for name, (n, kind) in sides.items()}
    arrays |= {f"{name}_ids": rng.integers(0, PEOPLE, n) for name, (n, _) in sides.items()}
    (whole,) = score_labelled(arrays, Scoring(cmc=cmc))
    monkeypatch.setattr(feature_ranking, "WHOLE", 0)
    monkeypatch.setattr("vireid_plugins.evaluation.feature_ranking.cross_distances", None)
    (blocks,) = score_labelled(arrays, Scoring(cmc=cmc))
    assert blocks.as_json() == whole.as_json()


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 128, 129, 1000, 4097])
@pytest.mark.parametrize("most", [64, 100, 4096])
def test_bounds_cover_every_row_once_without_small_remainders(count: int, most: int) -> None:
    slices = list(bounds(count, most))
    assert [row for one in slices for row in range(one.start, one.stop)] == list(range(count))
    sizes = [one.stop - one.start for one in slices]
    assert all(size <= max(most, 64) + 127 for size in sizes)
    assert len(sizes) < 2 or min(sizes) >= 64


def test_feature_rows_prepare_what_is_read() -> None:
    matrix = features(20, 5, np.float16)
    rows = FeatureRows(matrix, lengths.normalized, np.array([3, -1, 7]))
    assert rows.whole().dtype == np.float32
    assert not rows.whole()[1].any()
    assert np.array_equal(rows.at(np.array([2, 0])), lengths.normalized(matrix[[7, 3]].astype(np.float32)))
