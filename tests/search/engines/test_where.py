"""Conditions as people write them, and what passes them."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from engine_cases import facts, opened_as, vectors
from hypothesis import given, settings
from hypothesis import strategies as st

from vireid_plugins.errors import ConfigError
from vireid_plugins.search.engines import Condition, Engine, Record, Where
from vireid_plugins.search.engines.where import OPERATORS, narrowed, number_or_word, parsed, seconds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("camera=3", ("camera", "=", "3")),
        ("size>=7", ("size", ">=", 7)),
        ("size != 7.5", ("size", "!=", 7.5)),
        ("id=007", ("id", "=", "007")),
        ("id=1_000", ("id", "=", "1_000")),
        ("id=99999999999999999999", ("id", "=", "99999999999999999999")),
        ("score=nan", ("score", "=", "nan")),
        ("name=a=b", ("name", "=", "a=b")),
        ("note != a\nb ", ("note", "!=", "a\nb")),
        ("modality=Infrared", ("modality", "=", 1)),
        ("modality!=0", ("modality", "!=", 0)),
        ("time<2024-05-31T14:00:00+02:00", ("time", "<", 1717156800.0)),
        ("time>=2024-05-31", ("time", ">=", 1717113600.0)),
        ("time>1717113600.5", ("time", ">", 1717113600.5)),
    ],
)
def test_parsed_reads_names_operators_and_values(text: str, expected: tuple[Any, ...]) -> None:
    assert parsed(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("camera", "'camera' is no condition; write NAME=VALUE"),
        ("=3", "'=3' is no condition"),
        ("camera=", "'camera=' is no condition"),
        ("1a=3", "'1a=3' is no condition"),
        ("time=noon", "'noon' is no time; write 2024-05-31T14:00:00"),
        ("time=nan", "'nan' is no time"),
        ("modality=red", "modality: unknown value 'red'; available: 0, 1, color, .* visible"),
        ("modality<infrared", "modality <: modalities have no order; use = or !="),
        ("modality>=0", "modality >=: modalities have no order"),
        ("folder<a", "folder <: a file is in a folder or not; use ="),
    ],
)
def test_parsed_of_what_is_none_says_what_is(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Where((parsed(text),))


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (Condition("a'b", "=", 1), "\"a'b\" is no column's name|'a'b' is no column's name"),
        (Condition("a", "like", "x"), "there is no operator 'like'; there are =, !="),
        (Condition("a", "in", [1]), r"a: \[1\] is no value"),
        (Condition("a", "=", None), "a: None is no value"),
        (Condition("camera", "=", 3), "camera: 3 is no word"),
        (Condition("modality", "=", "visible"), "modality: 'visible' is no number"),
        (Condition("camera", "in", ("3", "\udcff")), r"camera: .*\\udcff'\) is no text in UTF-8"),
        (Condition("coat", "=", "\udcff"), r"coat: '\\udcff' is no text in UTF-8"),
    ],
)
def test_where_of_what_is_no_condition_says_so(condition: Condition, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Where((condition,))


def test_seconds_takes_numbers_and_times() -> None:
    assert (seconds("0"), seconds("-1.5"), seconds("1970-01-01T00:01Z")) == (0, -1.5, 60)


@pytest.mark.parametrize("text", ["1717164000000", "-62135596801", "1e+300", "0001-01-01T00:00+01:00"])
def test_seconds_of_no_year_that_can_be_written_says_so(text: str) -> None:
    with pytest.raises(ConfigError, match=f"'{re.escape(text)}' is no time of the years 1 to 9999; .* not millisec"):
        seconds(text)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_number_or_word_reads_every_float_as_python_writes_it(value: float) -> None:
    assert number_or_word(repr(value)) == value


def test_narrowed_takes_cameras_with_spaces_between_them() -> None:
    assert narrowed(cameras="3, 4 north,") == (Condition("camera", "in", ("3", "4 north", "")),)


@pytest.mark.parametrize(
    ("until", "operator", "moment"),
    [
        ("2024-05-31", "<", "2024-06-01T00:00"),
        (" 2024-12-31 ", "<", "2025-01-01T00:00"),
        ("2024-05-31T00:00", "<=", "2024-05-31T00:00"),
        ("1717113600", "<=", "2024-05-31T00:00"),
    ],
)
def test_narrowed_until_a_date_includes_that_day(until: str, operator: str, moment: str) -> None:
    since = Condition("time", ">=", seconds("2024-05-31"))
    assert narrowed(since="2024-05-31", until=until) == (since, Condition("time", operator, seconds(moment)))


def test_number_or_word_of_an_exponent_that_no_number_has_is_a_word() -> None:
    assert [number_or_word(text) for text in ("1e+999", "1E-05", "12e4", "1e5")] == ["1e+999", 1e-05, "12e4", "1e5"]


def test_number_or_word_reads_numbers_as_python_writes_them() -> None:
    assert [number_or_word(text) for text in ("1", "-2", "0.5", "-0.25", "1e3", "", "inf", "+1", "01")] == [
        1, -2, 0.5, -0.25, "1e3", "", "inf", "+1", "01",
    ]  # fmt: skip


# As it would end an expression, or change its meaning.
ODD = "a\" or '\\\n{x} %é"
VALUES = st.one_of(st.integers(-3, 3), st.sampled_from(["", "a", "b", "2", ODD]), st.sampled_from([0.5, 2.0]))
CONDITIONS = st.one_of(
    st.builds(Condition, st.sampled_from(["x", "y"]), st.sampled_from(OPERATORS[:-1]), VALUES),
    st.builds(Condition, st.just("x"), st.just("in"), st.lists(VALUES, max_size=3).map(tuple)),
    st.builds(Condition, st.just("camera"), st.sampled_from(OPERATORS[:-1]), st.sampled_from(["", "a", "2", ODD])),
    st.builds(Condition, st.just("time"), st.sampled_from(OPERATORS[:-1]), st.integers(0, 3)),
    st.builds(Condition, st.just("folder"), st.just("="), st.sampled_from(["/", "/a", "/a/", "/a/b", "/a/b/1.jpg"])),
)
RECORDS = [
    Record(key, n % 2, camera=camera, time=time, extra=extra)
    for n, (key, camera, time, extra) in enumerate(
        [
            ("/a/b/1.jpg", "a", 0.0, {"x": 1}),
            ("/a/b.jpg", "b", 1.0, {"x": "1", "y": "a"}),
            ("/ab/1.jpg", "2", 2.0, {"x": 2, "y": 0.5}),
            ("/a/b/c/1.jpg", "", None, {"x": 2.0, "y": ""}),
            ("/1.jpg", "a", 3.0, {}),
            ('/a/odd "\\\n%_.jpg', ODD, -1.5, {"x": ODD, "y": -3}),
        ]
    )
]


@pytest.fixture(scope="module", params=["faiss", "milvus"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    if request.param == "milvus":
        pytest.importorskip("milvus_lite")
    with opened_as(request.param, tmp_path_factory.mktemp("index")) as found:
        found.upsert(RECORDS, vectors(len(RECORDS)))
        yield found


@settings(max_examples=200, deadline=None)
@given(conditions=st.lists(CONDITIONS, max_size=3).map(tuple))
def test_where_in_an_engine_passes_what_it_passes_in_python(engine: Engine, conditions: tuple[Condition, ...]) -> None:
    where = Where(conditions)
    assert engine.records(where) == [one for one in RECORDS if where.passes(facts(one))]
