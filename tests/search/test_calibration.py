"""Match, unsure or nobody."""

import math
from pathlib import Path

import numpy as np
import pytest
from engine_cases import WIDTH, vectors
from galleries import Colors, indexed, paint

from vireid_plugins.errors import ConfigError, DataError
from vireid_plugins.search import Gallery, Hit, Record
from vireid_plugins.search.calibration import Thresholds, keep, require_unknown, thresholds_from, thresholds_of
from vireid_plugins.search.querying import QueryResult, Wanted, query_images


def result(*cosines: float) -> QueryResult:
    hits = [Hit(rank, Record(f"/{rank}", 0), cosine) for rank, cosine in enumerate(cosines, 1)]
    return QueryResult("/q", 1, 1.0, hits)


def test_thresholds_call_the_stated_share_of_unknown_people_a_match() -> None:
    rng = np.random.default_rng(0)
    best = rng.uniform(-0.5, 0.9, 1000).round(6).tolist()
    found = thresholds_from([result(one, one - 0.1) for one in best], 50, 0.02)
    verdicts = [found.verdict(one) for one in best]
    assert (verdicts.count("match"), verdicts.count("unsure"), verdicts.count("nobody")) == (20, 80, 900)
    assert (found.queries, found.images, found.rate) == (1000, 50, 0.02)
    # The smallest that do.
    assert sum(one >= found.match - 1e-6 for one in best) == 21


def test_require_unknown_of_an_image_of_the_gallery_names_it(tmp_path: Path) -> None:
    colors = Colors(tmp_path / "weights.pth")
    paint(tmp_path / "g", "1.png", "2.png")
    indexed(colors, tmp_path / "g")
    with Gallery.load(tmp_path / "index") as gallery:
        itself, _ = query_images(gallery, colors, tmp_path / "g" / "2.png", "visible", Wanted(1))
        others, _ = query_images(gallery, colors, tmp_path / "g", "visible", Wanted(1, "visible"))
    require_unknown(others)
    with pytest.raises(DataError, match=r"2\.png' is in the gallery, so its person is known"):
        require_unknown(itself)


def test_thresholds_from_few_queries_call_none_of_them_a_match() -> None:
    found = thresholds_from([result(0.7), result(0.6), result()], 9)
    assert [found.verdict(one) for one in (0.7, 0.700001, None)] == ["nobody", "match", "nobody"]
    assert thresholds_from([result(1.0)], 9).verdict(1.0) == "nobody"


def test_thresholds_of_equal_cosines_are_on_the_safe_side() -> None:
    found = thresholds_from([result(0.5)] * 100, 9)
    assert found.verdict(0.5) == "nobody"
    assert math.isclose(found.match, 0.500001)


@pytest.mark.parametrize(("results", "rate", "error"), [([result()], 0.01, DataError), ([result(0.5)], 2, ConfigError)])
def test_thresholds_from_what_is_wrong_is_one_error(results: list[QueryResult], rate: float, error: type) -> None:
    with pytest.raises(error):
        thresholds_from(results, 9, rate)


def test_thresholds_are_kept_in_the_gallery(tmp_path: Path) -> None:
    with Gallery.create(tmp_path / "index", WIDTH, {}) as gallery:
        assert thresholds_of(gallery) is None
        keep(gallery, Thresholds(0.7, 0.5, 0.01, 200, 10))
    with Gallery.load(tmp_path / "index") as gallery:
        assert thresholds_of(gallery) == Thresholds(0.7, 0.5, 0.01, 200, 10)
        whole = '{"match": 1, "unsure": 1, "rate": 1, "queries": 1, "images": 1'
        for text, said in (
            ("[]", ""),
            ("{", ""),
            ("[" * 100_000, ".*recursion"),
            ('{"match": 1}', ""),
            (whole.replace("1", '"a"', 1) + "}", "its thresholds are no numbers"),
            (whole + ', "source": "guesses"}', "its thresholds are from 'guesses'"),
        ):
            gallery.engine.set_facts({"thresholds": text})
            with pytest.raises(DataError, match=rf"index' is damaged \({said}.*index the images again"):
                thresholds_of(gallery)


def test_calibrated_gallery_calls_few_of_a_hundred_unknown_people_a_match(tmp_path: Path) -> None:
    """Whose vectors are as far from everybody's as those it was calibrated with; people of the gallery are found."""
    with Gallery.create(tmp_path / "index", WIDTH, {}) as gallery:
        gallery.add([Record(f"/{n}", 0) for n in range(300)], vectors(300))
        unknown = [QueryResult("", 1, 1.0, hits) for hits in gallery.search(vectors(1000, seed=1), 1)]
        found = thresholds_from(unknown, len(gallery))
        others = [found.verdict(hits[0].cosine) for hits in gallery.search(vectors(100, seed=2), 1)]
        moved = vectors(300) + 0.02 * vectors(300, seed=3)
        moved = (moved / np.linalg.norm(moved, axis=1, keepdims=True)).astype(np.float32)
        known = [found.verdict(hits[0].cosine) for hits in gallery.search(moved, 1)]
    assert others.count("match") <= 3
    assert known.count("match") == 300
