"""What every engine must do, on each of them: add, replace, remove, filter, reopen, and find what brute force finds."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine_cases import FILTERS, assert_finds, milvus_server, opened_as, record, vectors

from vireid_plugins.errors import DataError
from vireid_plugins.search.engines import Condition, Engine, Record, Where
from vireid_plugins.search.engines.known import Known

Open = Callable[[], Engine]


# The embedded server of milvus-lite, with gRPC, lives on in a process, and other tests have lost descriptors beside it.
MILVUS = [pytest.param(name, marks=pytest.mark.slow) for name in ("milvus", "milvus server")]


@pytest.fixture(params=["faiss", "faiss, float16", *MILVUS])
def open_engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """A function that opens the same place again and again."""
    opened: list[Engine] = []
    with ExitStack() as stack:
        uri = ""
        if "milvus" in request.param:
            pytest.importorskip("milvus_lite")
            uri = stack.enter_context(milvus_server(tmp_path / "server.db")) if "server" in request.param else ""

        def again() -> Engine:
            opened.append(opened_as(request.param, tmp_path / "index", uri))
            return opened[-1]

        yield again
        for engine in opened:
            engine.close()


def test_engine_finds_what_brute_force_finds_with_and_without_filters(open_engine: Open) -> None:
    expected = {record(n).key: (record(n), vector) for n, vector in enumerate(vectors(60))}
    with open_engine() as engine:
        engine.upsert([one for one, _ in expected.values()], vectors(60))
        for where in (None, *FILTERS):
            assert_finds(engine, expected, where)


def test_engine_after_random_changes_and_reopening_holds_what_a_dict_holds(open_engine: Open) -> None:
    rng = np.random.default_rng(0)
    expected: dict[str, tuple[Record, Any]] = {}
    engine = open_engine()
    for round in range(40):
        chosen = rng.choice(80, rng.integers(1, 12), replace=False).tolist()
        if rng.random() < 0.3:
            keys = [record(n).key for n in chosen]
            assert engine.remove(keys) == sum(expected.pop(key, None) is not None for key in keys)
        else:
            some = [record(n, stamp=str(round)) for n in chosen]
            new = vectors(len(some), seed=100 + round)
            engine.upsert(some, new)
            for one, vector in zip(some, new, strict=True):
                expected.pop(one.key, None)
                expected[one.key] = (one, vector)
        if rng.random() < 0.3:
            engine.flush()
            engine.close()
            engine = open_engine()
        if round % 5 == 0:
            assert_finds(engine, expected)
            assert_finds(engine, expected, FILTERS[round // 5 % len(FILTERS)])
    assert [one.key for one in engine.records()] == list(expected)
    assert_finds(engine, expected)


@pytest.mark.parametrize(
    ("records", "given", "message"),
    [
        ([record(1), record(1)], vectors(2), "two records have the key"),
        ([record(1, key="")], vectors(1), "a record has no key"),
        ([record(1), record(2)], vectors(1), r"shape \(2, 16\)"),
        ([record(1)], vectors(1) * 2, "vector 0 has length 2"),
        ([record(1)], vectors(1) * np.nan, "length nan"),
    ],
)
def test_upsert_of_what_is_wrong_changes_nothing(open_engine: Open, records: Any, given: Any, message: str) -> None:
    with open_engine() as engine:
        engine.upsert([record(9)], vectors(1))
        with pytest.raises(DataError, match=message):
            engine.upsert(records, given)
        assert_finds(engine, {record(9).key: (record(9), vectors(1)[0])})


def test_engine_without_records_finds_nothing(open_engine: Open) -> None:
    with open_engine() as engine:
        engine.upsert([], vectors(0))
        assert engine.nearest(vectors(2), 3) == [[], []]
        assert engine.remove(["/nowhere.jpg"]) == engine.count() == 0
        with pytest.raises(DataError, match=r"has no image '/nowhere.jpg'"):
            engine.vectors(["/nowhere.jpg"])


def test_engine_keeps_names_that_are_no_text(open_engine: Open) -> None:
    odd = record(1, key=os.fsdecode(b"/photos/\xff/1.jpg"), camera="Tür 2", extra={"who": "né"})
    with open_engine() as engine:
        engine.upsert([odd], vectors(1))
        (found,) = engine.records(Where((Condition("folder", "=", os.fsdecode(b"/photos/\xff")),)))
    assert found == odd


def test_engine_knows_what_reading_all_records_says(open_engine: Open) -> None:
    with open_engine() as engine:
        assert engine.known() == Known((0, 0), [], [], ())
        engine.upsert([record(n) for n in range(20)], vectors(20))
        assert engine.known() == Known.of(engine.records())
        # As many as before, with other facts; then other ones; then fewer.
        engine.upsert([record(1, camera="z", time=1e9, modality=0, extra={"new": 1})], vectors(1))
        assert engine.known() == Known.of(engine.records())
        assert "z" in engine.known().cameras
        engine.remove([record(1).key])
        engine.upsert([record(30)], vectors(1))
        assert engine.known() == Known.of(engine.records())
        engine.remove([record(n).key for n in range(31)])
        assert engine.known().counts == (0, 0)


def test_filters_are_asked_again_after_every_change(open_engine: Open) -> None:
    inside = Where((Condition("folder", "=", "/photos/in"),))
    with open_engine() as engine:
        for n in range(1, 4):
            engine.upsert([record(n)], vectors(1, seed=n))
            assert engine.count(inside) == len(engine.nearest(vectors(1), 9, inside)[0]) == n
        engine.rekey({record(1).key: "/elsewhere/1.jpg"})
        assert engine.count(inside) == len(engine.nearest(vectors(1), 9, inside)[0]) == 2
        engine.remove([record(2).key])
        assert engine.count(inside) == len(engine.nearest(vectors(1), 9, inside)[0]) == 1


def test_second_process_sees_changes_of_the_first(open_engine: Open) -> None:
    with open_engine() as writer:
        if writer.single_process:
            pytest.skip(f"{writer.name} is for one process at a time")
        writer.upsert([record(1)], vectors(1))
        with open_engine() as reader:
            assert reader.count() == 1
            writer.upsert([record(2)], vectors(1, seed=2))
            assert_finds(reader, {record(n).key: (record(n), vectors(1, s)[0]) for n, s in ((1, 0), (2, 2))})
            # Images that are indexed again have the same vectors, in files with the same content.
            writer.upsert(
                [record(n, stamp="touched") for n in (1, 2)], np.concatenate([vectors(1), vectors(1, seed=2)])
            )
            again = {record(n).key: (record(n, stamp="touched"), vectors(1, s)[0]) for n, s in ((1, 0), (2, 2))}
            assert_finds(reader, again)
            writer.remove([record(1).key])
            del again[record(1).key]
            writer.upsert([record(2)], vectors(1, seed=2))
            assert_finds(reader, {record(2).key: (record(2), vectors(1, 2)[0])})


def test_engine_says_when_another_gallery_is_in_its_place(open_engine: Open, tmp_path: Path) -> None:
    with open_engine() as engine:
        engine.upsert([record(1)], vectors(1))
        assert not engine.replaced()
        (tmp_path / "index").rename(tmp_path / "former")
        assert engine.replaced()
        if not engine.single_process:
            with open_engine() as other:
                assert engine.replaced()
                assert not other.replaced()
