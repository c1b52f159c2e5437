"""The table of results that fits a terminal."""

import sys

import numpy as np
import pytest

from vireid_plugins.evaluation.metrics import Ranking
from vireid_plugins.evaluation.protocols import PROTOCOLS
from vireid_plugins.evaluation.results import ProtocolResult, result_table
from vireid_plugins.evaluation.screen_table import fitted_table, screen_table


def result(name: str) -> ProtocolResult:
    rankings = [
        Ranking(cmc=np.linspace(0.2 + shift, 1, 20), mAP=0.5 + shift, mINP=0.4, counted=7, skipped=0)
        for shift in (0.0, 0.1)
    ]
    return ProtocolResult(PROTOCOLS[name], rankings)


RESULTS = [result("sysu/official/all/1shot"), result("sysu/official/indoor/10shot")]


@pytest.mark.parametrize("notes", [[], ["model", "random"]], ids=["model", "beside-random"])
def test_fitted_table_fits_and_always_has_the_scores_that_papers_report(notes: list[str]) -> None:
    for width in (60, 80, 100, 120, 200):
        text = fitted_table(RESULTS, width, notes)
        table = text.partition("\nnot shown")[0].splitlines()
        assert max(map(len, table)) <= width
        for row, one in zip(table[2:], RESULTS, strict=True):
            assert one.label in row
            assert "25.00" in row  # rank-1
            assert "55.00" in row  # mAP
    assert "±" in fitted_table(RESULTS, 80, notes)


def test_fitted_table_says_what_is_not_shown() -> None:
    assert "not shown" not in fitted_table(RESULTS, 250)
    assert fitted_table(RESULTS, 80).endswith("not shown: CMC, trials, Rank-20, Rank-5, queries, Rank-10")
    narrow = fitted_table(RESULTS, 10)
    assert narrow.splitlines()[0].split() == ["protocol", "Rank-1", "mAP"]
    assert "deviations" in narrow


def test_screen_table_in_a_pipe_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert screen_table(RESULTS) == result_table(RESULTS)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert screen_table(RESULTS) == fitted_table(RESULTS, 80)
