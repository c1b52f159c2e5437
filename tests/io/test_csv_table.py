"""CSV texts by column, and what is wrong with them."""

from pathlib import Path

import pytest

from vireid_plugins.errors import DataError
from vireid_plugins.io.csv_table import CsvTable

FILE = Path("f.csv")


def test_table_gives_stripped_values_by_column() -> None:
    table = CsvTable(FILE, '\n a , b,\r\n1,"x, y",z\r\n , ,\r\n2,"two\nlines",\n')
    assert table.header == ["a", "b", ""]
    found = [(table.where, row) for row in table]
    assert found == [("'f.csv:3'", {"a": "1", "b": "x, y"}), ("'f.csv:6'", {"a": "2", "b": "two\nlines"})]


def test_table_of_an_empty_text_has_no_header() -> None:
    table = CsvTable(FILE, " \n\n")
    assert (table.header, list(table)) == ([], [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,a\n1,2\n", "'f.csv:1': the header names 'a' twice"),
        ("a,b\n\n1\n", "'f.csv:3': it has 1 values, and the header names 2"),
        ('a\n"1\n', "'f.csv:2': unexpected end of data"),
        ('"a', "'f.csv:1': unexpected end of data"),
    ],
)
def test_table_that_is_malformed_names_the_line(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        list(CsvTable(FILE, text))
