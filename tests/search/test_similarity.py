"""One rule for similarity, order and matches."""

import numpy as np
from engine_cases import WIDTH, vectors

from vireid_plugins.search import Record
from vireid_plugins.search.engines.base import Candidate
from vireid_plugins.search.similarity import cosines, matches, ordered


def test_cosines_are_those_of_the_vectors_to_six_digits() -> None:
    query, rows = vectors(1)[0], vectors(9, seed=1)
    expected = [sum(float(a) * float(b) for a, b in zip(query, row, strict=True)) for row in rows]
    np.testing.assert_allclose(cosines(query, rows), expected, atol=6e-7)
    assert all(round(float(one), 6) == one for one in cosines(query, rows))
    # Vectors of half precision are not quite of length 1.
    np.testing.assert_allclose(cosines(query, rows.astype(np.float16)), expected, atol=1e-3)
    assert cosines(query, query[None].astype(np.float16).astype(np.float32))[0] <= 1


def test_ordered_puts_equal_cosines_in_the_order_of_keys() -> None:
    query = np.eye(1, WIDTH, dtype=np.float32)[0]
    near = np.zeros(WIDTH, np.float32)
    near[:2] = 0.6, 0.8
    # As far apart as one query and the same query in a batch are.
    nearer = near + np.float32(1e-7)
    found = ordered(query, [Candidate(Record("/b", 0), nearer), Candidate(Record("/a", 0), near)])
    assert [one.record.key for one in found] == ["/a", "/b"]
    assert ordered(query, []) == []


def test_matches_includes_the_threshold() -> None:
    assert matches(0.7, 0.7)
    assert matches(0.7, 0.7000004)
    assert not matches(0.699999, 0.7)
