import pytest
from helpers import small_cfg

from vireid_plugins.config import check_config
from vireid_plugins.errors import ConfigError, ExpectationError
from vireid_plugins.evaluation.expected_results import verify_results

ROW = "[['SYSUMM01', 'mAP', 50.0, 1.5], ['SYSUMM01', 'Rank-1', 60, 2]]"


def expecting(rows: str = ROW, *overrides: str):
    return small_cfg("SYSU/wrim.yml", "TEST.EXPECTED_RESULTS", rows, *overrides)


@pytest.mark.parametrize("scores", [{"mAP": 50.0, "Rank-1": 60.0}, {"mAP": 51.5, "Rank-1": 58.0}, {}, None])
def test_verify_results_within_tolerance_passes(scores) -> None:
    verify_results(expecting(), scores)


def test_verify_results_outside_tolerance_names_all_rows() -> None:
    said = r"1 of 2 missed: SYSUMM01 mAP is 51\.60, expected 50 ± 1\.5; SYSUMM01 Rank-1 is 60\.00"
    with pytest.raises(ExpectationError, match=said):
        verify_results(expecting(), {"mAP": 51.6, "Rank-1": 60.0})
    with pytest.raises(ExpectationError, match="mAP is nan"):
        verify_results(expecting(), {"mAP": float("nan"), "Rank-1": 60.0})


def test_verify_results_takes_several_sets_and_names_a_score_that_is_not_there() -> None:
    both = expecting(ROW, "DATASETS.TESTS", "('SYSUMM01', 'RegDB')")
    verify_results(both, {"SYSUMM01": {"mAP": 50.0, "Rank-1": 60.0}, "RegDB": {"mAP": 0.0}})
    with pytest.raises(ConfigError, match=r"TEST.EXPECTED_RESULTS: unknown value 'mAP'; available: Rank-1"):
        verify_results(expecting(), {"Rank-1": 60.0})


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("[['SYSUMM01', 'mAP', 50.0]]", r"invalid row .*; a row is \[data set, score, value, tolerance\]"),
        ("[['SYSUMM01', 'mAP', 'high', 1]]", "invalid row"),
        ("[['RegDB', 'mAP', 50.0, 1.0]]", "'RegDB' is not tested; DATASETS.TESTS has SYSUMM01"),
    ],
)
def test_check_config_refuses_wrong_rows_of_expected_results_before_training(rows: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        check_config(expecting(rows))
