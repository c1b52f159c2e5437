"""What holds for any ranking and any tree of images."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.ranking import per_query

from vireid_plugins.data.datasets import SYSUMM01, SYSUMM01Val
from vireid_plugins.errors import FeatureError
from vireid_plugins.evaluation import PROTOCOLS, evaluate_ranking
from vireid_plugins.evaluation.trials import draw_trials, sides

DRAWN = [protocol for protocol in PROTOCOLS.values() if protocol.draw != "official"]


@settings(deadline=None)
@given(
    data=st.data(),
    queries=st.integers(1, 6),
    gallery=st.integers(1, 12),
    drop=st.sampled_from(["none", "sysu", "same_camera"]),
    cmc=st.sampled_from(["ordinary", "distinct_id"]),
)
def test_evaluate_ranking_of_anything_equals_the_loop_over_queries(
    data: st.DataObject, queries: int, gallery: int, drop: str, cmc: str
) -> None:
    def numbers(count: int, most: int) -> np.ndarray:
        return np.array(data.draw(st.lists(st.integers(1, most), min_size=count, max_size=count)))

    # Few values, so that there are ties.
    distance = numbers(queries * gallery, 4).reshape(queries, gallery) / 4
    labels = [numbers(queries, 3), numbers(gallery, 3), numbers(queries, 6), numbers(gallery, 6)]
    try:
        found = evaluate_ranking(distance, *labels, drop=drop, cmc=cmc)
    except FeatureError:
        found = None
    expected = per_query(distance, *labels, drop=drop, cmc=cmc, ranks=gallery)
    if found is None:
        assert expected is None
        return
    curve, mean_precision, mean_inverse, counted = expected
    assert found.mAP == pytest.approx(mean_precision)
    assert found.mINP == pytest.approx(mean_inverse)
    assert found.counted == counted
    assert 0 < found.mINP <= 1
    assert 0 < found.mAP <= 1
    np.testing.assert_allclose(found.cmc, curve)
    assert (np.diff(found.cmc) >= 0).all()
    assert found.cmc[-1] == pytest.approx(1)
    assert found.counted + found.skipped == queries


class Images:
    """A data set of nothing but names."""

    galleries = SYSUMM01.galleries | SYSUMM01Val.galleries

    def __init__(self, cells: dict[tuple[int, int, int], int]) -> None:
        self.cells = cells

    def listings(self, modality: int, cameras: object = None) -> list[tuple[int, int, list[str]]]:
        return [
            (identity, camera, [f"{modality}/{camera}/{identity}/{n}.jpg" for n in range(count)])
            for (of, identity, camera), count in sorted(self.cells.items())
            if of == modality and (cameras is None or camera in cameras)
        ]


CELL = st.tuples(st.integers(0, 1), st.integers(1, 5), st.integers(1, 6))


@settings(deadline=None)
@given(st.sampled_from(DRAWN), st.dictionaries(CELL, st.integers(1, 4), min_size=1))
def test_draw_trials_from_any_tree_keeps_the_rules(protocol: object, cells: dict[tuple[int, int, int], int]) -> None:
    dataset = Images(cells)
    trials = draw_trials(dataset, protocol)
    assert trials == draw_trials(dataset, protocol)
    assert len(trials) == protocol.trials
    query, gallery = sides(protocol)
    cameras = dataset.galleries[protocol.mode] if protocol.mode else None
    allowed = {"query": dataset.listings(query), "gallery": dataset.listings(gallery, cameras)}
    for trial in trials:
        for side, paths in (("query", trial.query), ("gallery", trial.gallery)):
            assert len(set(paths)) == len(paths)
            for _, _, images in allowed[side]:
                taken = len(set(paths) & set(images))
                whole = side != protocol.drawn or not protocol.shots
                assert taken == (len(images) if whole else min(len(images), protocol.shots))
            assert set(paths) <= {path for _, _, images in allowed[side] for path in images}
