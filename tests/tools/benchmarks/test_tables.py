import re

import pytest
from helpers import ROOT, python
from table_parts.pages import with_tables
from table_parts.results import COLUMNS, OWN, published, read_results

from vireid_plugins.errors import DataError
from vireid_plugins.evaluation import PROTOCOLS

DOCS = ROOT / "docs"


def test_tables_check_finds_every_table_to_be_what_its_data_says() -> None:
    ran = python("tools/benchmarks/tables.py", "--check")
    assert ran.returncode == 0, ran.stderr
    pages = "".join(page.read_text() for page in (ROOT / "README.md", *DOCS.glob("*.md")))
    for name in (
        "published by the methods here",
        "everything published",
        "learning in short",
        "protocols",
        "scoring on a CPU",
    ):
        assert f"<!-- table: {name} -->\n\n|" in pages
    for name in PROTOCOLS:
        assert f"| `{name}` " in pages


def test_read_results_gives_every_published_number_a_protocol_and_a_source() -> None:
    results = read_results(DOCS)
    assert set(OWN) <= {entry["method"] for entry in results["published"]}
    for entry in results["published"]:
        assert entry["source"][0] in "PRTN"
        for name, scores in entry["published"].items():
            assert name in PROTOCOLS or "unknown" in name
            assert any(re.fullmatch(pattern, name) for pattern in COLUMNS.values())
            assert len(scores) == 2
            assert all(score is None or 0 < score <= 100 for score in scores)


def test_published_puts_our_rows_below_and_a_question_mark_for_unknown() -> None:
    results = {
        "published": [
            {"method": "A", "venue": "V", "source": "P", "published": {"sysu/agw/all/1shot": [None, 50.0]}},
            {"method": "B", "venue": "V", "source": "T", "published": {"llcm/full/v2i": [1.5, 2.0]}},
        ],
        "ours": [
            {
                "method": "A", "config": "a.yml", "draw": "official", "how": "command",
                "measured": {"sysu/official/all/1shot": [40.0, 41.0]},
            }
        ],
    }  # fmt: skip
    lines = published(results, ["SYSU all", "LLCM v2i"]).splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells == [
        ["A", "V", "? / 50", "", "agw", "P"],
        ["A (ours)", "a.yml", "40 / 41", "", "official", "command"],
        ["B", "V", "", "1.5 / 2", "", "T"],
    ]


def test_with_tables_names_a_table_that_is_not_there() -> None:
    text = "a\n<!-- table: protocols -->\nold\n<!-- end -->\nb"
    found = with_tables(text, DOCS)
    assert "old" not in found
    assert found.startswith("a\n<!-- table: protocols -->\n\n| name")
    assert with_tables(found, DOCS) == found
    with pytest.raises(DataError, match="unknown table 'protcols'; available: "):
        with_tables("<!-- table: protcols --><!-- end -->", DOCS)
