"""What PyYAML accepts and a configuration must not hold; the limits are lowered here."""

from typing import Any

import pytest
import yaml
from helpers import ROOT

from vireid_plugins.config import get_cfg
from vireid_plugins.io import strict_yaml
from vireid_plugins.io.strict_yaml import StrictYamlError, parse_yaml


def test_parse_yaml_gives_what_pyyaml_gives() -> None:
    dumped = get_cfg().dump()
    for text in (dumped, (ROOT / "docs/results.yml").read_text()):
        assert parse_yaml(text).value == yaml.safe_load(text)
    assert 4 * parse_yaml(dumped).nodes < strict_yaml.MAX_NODES
    assert 4 * len(dumped) < strict_yaml.MAX_BYTES


@pytest.mark.parametrize(
    "text",
    [
        get_cfg().dump(),
        "a: {b: 0x1F, c: '7', d: yes, e: word}\nf: 1e3\ng: |\n  1\nh: >-\n  two\n  lines\ni: \"\\u00e9\"\nj: \u4e2d\n",
        "a: &a {x: 1, y: 2}\nb: *a\nc: {<<: *a, y: 3}\n",
        "A: [1\n",
        "A: \ud800\n",
        "A: !!int x\n",
        "A: 1\nB: 2\nA: 3\n",
    ],
)
def test_parse_yaml_without_libyaml_gives_the_same(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def found() -> Any:
        try:
            return parse_yaml(text)
        except StrictYamlError as error:
            return str(error)

    fast = found()
    monkeypatch.setattr(yaml, "__with_libyaml__", False)
    assert found() == fast


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n"])
def test_parse_yaml_without_content_is_none(text: str) -> None:
    assert parse_yaml(text).value is None


def test_parse_yaml_keeps_keys_and_dates_as_text() -> None:
    assert parse_yaml("ON: 2026-11-27\n1: x\n").value == {"ON": "2026-11-27", "1": "x"}


def test_parse_yaml_tells_the_texts_of_plain_scalars() -> None:
    found = parse_yaml("a: {b: 0x1F, c: '7', d: yes, e: word}\nf: 1e3\ng: [1]\n")
    assert found.texts == {"a.b": "0x1F", "a.d": "yes"}


def test_parse_yaml_with_aliases_and_merged_keys_takes_them() -> None:
    found = parse_yaml("a: &a {x: 1, y: 2}\nb: *a\nc: {<<: *a, y: 3}\n").value
    assert found == {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 2}, "c": {"x": 1, "y": 3}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A: 1\nB: 2\nA: 3\n", "'A' is given twice, on lines 1 and 3; keep one"),
        ("A:\n  B: {C: 1,\n   C: 1}\n", "'A.B.C' is given twice, on lines 2 and 3"),
        ("A: [{B: 1, B: 2}]\n", "is given twice, on lines 1 and 1"),
        ("A.B: 1\nA: {B: 2}\n", "'A.B' is given twice, on lines 1 and 2"),
        ("A: &a {B: 1}\nC: {<<: *a, D: 1, D: 2}\n", "'C.D' is given twice"),
        ("A: &a [*a]\n", r"line 1: '\*a' is used inside its own value"),
        ("A: &a {B: {C: *a}}\n", r"line 1: '\*a' is used inside its own value"),
        ("A: *b\n", "undefined alias"),
        ("? [1]\n: 2\n", "line 1: a key must be one word"),
        ("A: !!set {b}\n", "line 1: values of the kind '!!set' are not supported"),
        ("A: !!binary aGk=\n", "'!!binary' are not supported"),
        ("A: !!timestamp 2026-11-27\n", "'!!timestamp' are not supported"),
        ("A: !!python/name:os.getcwd ''\n", "could not determine a constructor"),
        ("A: !!int x\n", "invalid literal"),
        ("A: 1\n---\nB: 2\n", "expected a single document.*line 2"),
        ("A: [1\n", "line 2"),
        ("A: \0\n", "special characters are not allowed"),
        (f"A: {'9' * 5000}\n", "line 1: a number of 5,000 characters"),
    ],
)
def test_parse_yaml_of_what_no_configuration_may_hold_is_one_line(text: str, message: str) -> None:
    with pytest.raises(StrictYamlError, match=message) as raised:
        parse_yaml(text)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("limit", "value", "text", "message"),
    [
        ("MAX_DEPTH", 3, "A: [[[[1]]]]\n", "line 1 is nested more than 3 levels deep"),
        ("MAX_DEPTH", 3, "A:\n B:\n  C:\n   D: {E: 1}\n", "line 4 is nested more than 3 levels deep"),
        ("MAX_BYTES", 5, "A: 1234\n", "it is larger than 5 bytes"),
    ],
)
def test_parse_yaml_beyond_a_limit_is_refused(
    monkeypatch: pytest.MonkeyPatch, limit: str, value: int, text: str, message: str
) -> None:
    assert parse_yaml(text).value
    monkeypatch.setattr(strict_yaml, limit, value)
    with pytest.raises(StrictYamlError, match=message):
        parse_yaml(text)


@pytest.mark.parametrize("form", ["[{0}, {0}, {0}]", "{{a: {0}, b: {0}, c: {0}}}", "{{<<: [{0}, {0}, {0}]}}"])
def test_parse_yaml_counts_an_alias_as_what_it_stands_for(form: str) -> None:
    text = "a: &a {x: 1}\nb: &b " + form.format("*a") + "\nc: &c " + form.format("*b") + "\n"
    found: Any = parse_yaml(text)
    assert 30 < found.nodes < 70
    with pytest.raises(StrictYamlError, match=r"line 3: more than .* values"):
        parse_yaml(text, budget=found.nodes - 3)


@pytest.mark.parametrize("text", ["060", "1:30", "-1:00", "0_7", "1:30.5"])
def test_parse_yaml_takes_no_number_that_looks_like_another(text: str) -> None:
    assert parse_yaml(f"A: {text}\nB: [0, -0.5, 10, 1_000, 0x1F]").value == {"A": text, "B": [0, -0.5, 10, 1000, 31]}
