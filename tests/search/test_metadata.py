"""Metadata in CSV and JSON, and what is wrong with it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from vireid_plugins.errors import DataError
from vireid_plugins.search.images import Found
from vireid_plugins.search.metadata import Metadata


def read(folder: Path, name: str, content: str | bytes) -> Metadata:
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return Metadata.read(folder / name)


def of(metadata: Metadata, path: Path) -> dict[str, Any]:
    return metadata.of(Found(path, str(path), ""))


def test_read_of_csv_gives_facts_by_path(tmp_path: Path) -> None:
    text = 'file, camera ,time,track,size,note\r\na/1.jpg,3,2024-05-31T10:00Z,12,7,"a, b"\r\n\r\nb.jpg,,,,,\r\n'
    found = read(tmp_path, "facts.csv", "\ufeff" + text)
    assert of(found, tmp_path / "a/1.jpg") == {
        "camera": "3", "time": 1717149600.0, "track": "12", "extra": {"size": 7, "note": "a, b"},
    }  # fmt: skip
    assert of(found, tmp_path / "b.jpg") == of(found, tmp_path / "other.jpg") == {}


def test_read_of_json_gives_the_same(tmp_path: Path) -> None:
    rows = [{"file": "a/1.jpg", "camera": 3, "time": 1717149600, "track": 12, "size": 7, "note": " a, b", "who": " "}]
    found = read(tmp_path, "facts.json", json.dumps(rows))
    assert of(found, tmp_path / "a/1.jpg") == {
        "camera": "3", "time": 1717149600.0, "track": "12", "extra": {"size": 7, "note": "a, b"},
    }  # fmt: skip
    assert bool(found)
    assert not Metadata()


def test_read_of_a_long_number_gives_the_same_word(tmp_path: Path) -> None:
    found = [
        read(tmp_path, "facts.csv", "file,id\na.jpg,18446744073709551616\n"),
        read(tmp_path, "facts.json", '[{"file": "a.jpg", "id": 18446744073709551616}]'),
    ]
    assert [of(one, tmp_path / "a.jpg") for one in found] == [{"extra": {"id": "18446744073709551616"}}] * 2


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("f.csv", "path,camera\na,1\n", "f.csv:1': there is no column 'file'; the columns are path, camera"),
        ("f.csv", "", "f.csv:1': there is no column 'file'"),
        ("f.csv", "file,a,a\n", "f.csv:1': the header names 'a' twice"),
        ("f.csv", "file,a\n1.jpg\n", "f.csv:2': it has 1 values, and the header names 2"),
        ("f.csv", "file,a\n,1\n", "f.csv:2': the column 'file' names no file"),
        ("f.csv", "file\n1.jpg\n./1.jpg\n", "f.csv:3': './1.jpg' has a line already"),
        ("f.csv", "file,time\n1.jpg,noon\n", "f.csv:2': 'noon' is no time"),
        ("f.csv", "file,modality\n1.jpg,0\n", "f.csv:2': a column cannot be called 'modality'"),
        ("f.csv", "file,my size\n1.jpg,0\n", "a column cannot be called 'my size'; names have letters, digits and _"),
        ("f.csv", 'file\n"1.jpg\n', "f.csv:2': unexpected end of data"),
        ("f.csv", b"file\n\xff.jpg\n", "f.csv' is no text in UTF-8"),
        ("f.json", "[1", "f.json' is no JSON"),
        ("f.json", "{}", "f.json' must hold a list of tables"),
        ("f.json", '[{"file": "a", "x": [1]}]', r"f.json', entry 1: 'x' is \[1\]; give a word or a number"),
        ("f.csv", "file,time\n1.jpg,1717164000000\n", "f.csv:2': '1717164000000' is no time of the years 1 to 9999"),
        ("f.json", '[{"file": "a", "x": NaN}]', "f.json', entry 1: 'x' is nan; give a finite number, or null"),
        ("f.json", '[{"file": "a", "x": -1e999}]', "f.json', entry 1: 'x' is -inf; give a finite number, or null"),
        ("f.json", '[{"file": "a", "camera": "\\ud800"}]', r"entry 1: 'camera' is '\ud800', which is no text in UTF-8"),
        ("f.json", '[{"file": "a", "coat": "\\ud800"}]', r"entry 1: 'coat' is '\ud800', which is no text in UTF-8"),
        ("f.json", '[{"file": 3}]', "f.json', entry 1: the column 'file' names no file"),
        ("f.txt", "", "f.txt': metadata is a .csv or a .json file"),
    ],
)
def test_read_of_what_is_wrong_names_the_place(tmp_path: Path, name: str, content: Any, message: str) -> None:
    with pytest.raises(DataError, match=message if message.startswith("f.json', entry 1: 'x'") else re.escape(message)):
        read(tmp_path, name, content)


def test_read_of_no_file_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere.csv' cannot be read: No such file"):
        Metadata.read(tmp_path / "nowhere.csv")
