"""Growth of cost with work: exponents, the table, the figure, and that nothing published grows faster than its work."""

import json
from pathlib import Path
from typing import Any

import pytest
from helpers import ROOT
from table_parts.growth import growth_table, read_growth
from table_parts.growth_figure import draw_growth

from vireid_plugins.errors import DataError


def write(docs: Path, seconds: dict[int, list[float]], task: str = "loading") -> Path:
    results: list[dict[str, Any]] = [
        {
            "task": task, "way": f"{items // 10} x", "warm_up": 1, "seconds": cpu, "first": 1.0, "peak": 0,
            "device_peak": 0, "items": items, "cpu": cpu,
        }
        for items, cpu in seconds.items()
    ]  # fmt: skip
    (docs / "benchmarks").mkdir()
    (docs / "benchmarks" / "scaling-cpu.json").write_text(json.dumps({"results": results}))
    return docs


def test_read_growth_fits_the_exponent_of_the_medians(tmp_path: Path) -> None:
    # In any order; the square of the work.
    (one,) = read_growth(write(tmp_path, {160: [256.0], 10: [1.0, 9.0, 0.5], 40: [16.0]}))
    assert one.exponent == pytest.approx(2)
    assert one.items == [10, 40, 160]
    row = growth_table([one]).splitlines()[2]
    assert [cell.strip() for cell in row.strip("|").split("|")] == ["loading", "10", "1", "16", "256", "2.00"]


def test_read_growth_of_one_size_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'loading' was measured at one size"):
        read_growth(write(tmp_path, {10: [1.0]}))


def test_draw_growth_has_a_curve_and_an_exponent_for_every_task(tmp_path: Path) -> None:
    found = read_growth(write(tmp_path, {10: [1.0], 40: [2.0], 160: [4.0]}))
    (axes,) = draw_growth(found).axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["like the work", "loading: 0.50"]
    assert list(axes.lines[1].get_ydata()) == [1, 2, 4]


def test_growth_of_the_docs_is_at_most_that_of_the_work() -> None:
    """Of what is published, with the noise of its measurement."""
    found = read_growth(ROOT / "docs")
    for part in ("lists", "training images", "training step", "features", "scoring", "queries"):
        assert any(part in one.task for one in found)
    assert all(one.ways == ["1 x", "4 x", "16 x"] for one in found)
    assert {one.task: one.exponent for one in found if one.exponent > 1.05} == {}
