from pathlib import Path
from typing import NoReturn

import pytest

from vireid_plugins.io import json_file
from vireid_plugins.io.json_file import parse_json, read_json


def test_read_json_returns_the_content_also_after_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b'\xef\xbb\xbf{"a": [1, {"a": null}]}')
    assert read_json(tmp_path / "a.json") == {"a": [1, {"a": None}]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"a": 1, "b": 2, "a": 3}]', "'a' is given twice"),
        ("9" * 5000, "4300"),
        ("{", "column"),
    ],
    ids=["twice", "digits", "torn"],
)
def test_parse_json_of_what_is_none_is_a_value_error(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_json(text)


def test_parse_json_that_is_nested_too_deep_for_python_is_a_value_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def loads(*_: object, **__: object) -> NoReturn:
        raise RecursionError

    monkeypatch.setattr(json_file.json, "loads", loads)
    with pytest.raises(ValueError, match="nested too deep"):
        parse_json("[]")


def test_read_json_of_a_large_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[1, 2]")
    with pytest.raises(OSError, match="larger than 5 bytes"):
        read_json(tmp_path / "a.json", 5)
