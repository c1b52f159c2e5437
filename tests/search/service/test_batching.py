"""Answering together what is asked at the same time."""

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from galleries import Colors, paint
from helpers import HANG

from vireid_plugins.search import Gallery
from vireid_plugins.search.engines import Condition
from vireid_plugins.search.indexing import index_images
from vireid_plugins.search.querying import Wanted
from vireid_plugins.search.service.batching import Batcher, BusyError
from vireid_plugins.search.service.finder import Finder, Query
from vireid_plugins.search.service.opened import Opened


class Slow:
    """Doubles numbers; the first batch waits until it is told to go on."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.begun, self.go = threading.Event(), threading.Event()

    def __call__(self, asked: Sequence[int]) -> list[int]:
        self.batches.append(list(asked))
        self.begun.set()
        assert self.go.wait(HANG)
        if 13 in asked:
            raise ValueError(f"13 among {len(asked)}")
        return [2 * one for one in asked]


@pytest.fixture
def slow() -> Slow:
    return Slow()


def asked(batcher: "Batcher[int, int]", slow: Slow, *numbers: int) -> "list[Future[int]]":
    """The futures of a number that is answered first, and of numbers that have come until then."""
    first = batcher.ask(0)
    assert slow.begun.wait(HANG)
    return [first, *map(batcher.ask, numbers)]


def test_batcher_answers_together_what_came_meanwhile(slow: Slow) -> None:
    batcher: Batcher[int, int] = Batcher(slow, largest=3, waiting=9)
    futures = asked(batcher, slow, 1, 2, 3, 4)
    slow.go.set()
    assert [one.result(HANG) for one in futures] == [0, 2, 4, 6, 8]
    assert slow.batches == [[0], [1, 2, 3], [4]]
    batcher.close()


def test_batcher_with_one_bad_question_answers_the_others(slow: Slow) -> None:
    batcher: Batcher[int, int] = Batcher(slow, largest=9, waiting=9)
    futures = asked(batcher, slow, 1, 13, 2)
    slow.go.set()
    with pytest.raises(ValueError, match="13 among 1"):
        futures[2].result(HANG)
    assert [futures[n].result(HANG) for n in (0, 1, 3)] == [0, 2, 4]
    batcher.close()


def test_batcher_refuses_more_than_may_wait_and_leaves_out_the_canceled(slow: Slow) -> None:
    batcher: Batcher[int, int] = Batcher(slow, largest=9, waiting=2)
    futures = asked(batcher, slow, 1, 2)
    with pytest.raises(BusyError):
        batcher.ask(3)
    assert futures[1].cancel()
    slow.go.set()
    assert futures[2].result(HANG) == 4
    assert slow.batches == [[0], [2]]
    batcher.close()


def test_batcher_answers_what_waits_before_it_closes(slow: Slow) -> None:
    batcher: Batcher[int, int] = Batcher(slow, largest=2, waiting=9)
    futures = asked(batcher, slow, 1, 2, 3)
    slow.go.set()
    batcher.close()
    assert [one.result(0) for one in futures] == [0, 2, 4, 6]


def test_finder_of_many_queries_finds_what_it_finds_of_each_alone(tmp_path: Path) -> None:
    colors: Any = Colors(tmp_path / "weights.pth")
    paint(tmp_path / "g", *(f"{n}.png" for n in range(9)))
    index_images(colors, tmp_path / "g", tmp_path / "index", "visible")
    wishes = [Wanted(3, "both"), Wanted(9, "visible", people=True), Wanted(2, "", (Condition("folder", "=", "/no"),))]
    rng = np.random.default_rng(0)
    with Gallery.load(tmp_path / "index") as gallery:
        known = gallery.records()
        vectors = gallery.engine.vectors([one.key for one in known])
    queries = [
        Query(wishes[n % 3], "", n % 2, pixels=rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)) for n in range(7)
    ]
    queries += [Query(wishes[n % 3], known[n].digest, 0, vector=vectors[n]) for n in range(7)]
    finder = Finder(Opened(tmp_path / "index"), colors)
    assert finder(queries) == [finder([one])[0] for one in queries]
    assert all(hit.record.digest != known[0].digest for hit in finder(queries)[7].hits)
    finder.close()
