"""Intervals and tests: what they say of simulated runs whose difference is known."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

from vireid_plugins.experiments.statistics import Interval, bootstrap, paired_test

IDENTITIES, EACH = 40, 4
Sides = tuple[list[Any], list[Any], Any]


def simulated(seed: int, runs: int, gap: float, between_runs: float) -> Sides:
    """Two sides of runs on the same queries; queries of one identity are alike, and every run has luck of its own."""
    rng = np.random.default_rng(seed)
    ids = np.repeat(np.arange(IDENTITIES), EACH)
    hardness = rng.beta(2, 1.5, IDENTITIES)[ids] * 0.8 + 0.1

    def run(shift: float) -> Any:
        luck = rng.normal(0, between_runs) + rng.normal(0, 0.05, IDENTITIES)[ids] + rng.normal(0, 0.05, len(ids))
        return np.clip(hardness + luck + shift, 0, 1)

    return [run(0) for _ in range(runs)], [run(gap) for _ in range(runs)], ids


@pytest.mark.parametrize("runs", [2, 3, 5])
@pytest.mark.parametrize("between_runs", [0.0, 0.02])
def test_bootstrap_of_one_distribution_is_called_different_no_more_often_than_the_level(
    runs: int, between_runs: float
) -> None:
    tries = 120
    called = sum(bootstrap(*simulated(seed, runs, 0.0, between_runs), draws=400).differs for seed in range(tries))
    # With a rate of 5 % more than this happens once in a thousand suites.
    assert called <= stats.binom.ppf(0.999, tries, 0.05)


@pytest.mark.parametrize("runs", [2, 3, 5])
def test_bootstrap_finds_a_planted_difference_and_covers_it(runs: int) -> None:
    planted, found, covered, tries = 0.1, 0, 0, 40
    for seed in range(tries):
        interval = bootstrap(*simulated(seed, runs, planted, 0.005), draws=400)
        found += interval.differs and interval.difference > 0
        covered += interval.low < 100 * planted * 0.98 < interval.high
    assert found >= 0.9 * tries
    assert covered >= 0.9 * tries


def test_bootstrap_of_swapped_sides_is_the_negative() -> None:
    a, b, ids = simulated(3, 3, 0.05, 0.01)
    there, back = bootstrap(a, b, ids, draws=2000), bootstrap(b, a, ids, draws=2000)
    assert there.difference == pytest.approx(-back.difference)
    assert there.difference == pytest.approx(100 * (np.mean(b) - np.mean(a)))
    assert there.low == pytest.approx(-back.high, abs=0.5)


def test_bootstrap_of_equal_runs_is_equal() -> None:
    run = np.linspace(0, 1, 8)
    assert bootstrap([run, run], [run, run], np.arange(8)) == Interval(0.0, 0.0, 0.0, equal=True)
    assert not Interval(0.0, 0.0, 0.0, equal=True).differs


def test_bootstrap_of_runs_without_luck_is_finite() -> None:
    """Equal runs within each side, and a constant gap between the sides."""
    run = np.linspace(0, 0.5, 8)
    interval = bootstrap([run, run], [run + 0.25, run + 0.25], np.arange(8), draws=200)
    assert (interval.low, interval.high) == pytest.approx((25, 25))
    assert interval.differs


def test_paired_test_of_one_distribution_keeps_its_level_and_finds_a_planted_difference() -> None:
    tries = 150
    found = []
    for gap in (0.0, 0.05):
        tests = [simulated(seed, 1, gap, 0.0) for seed in range(tries)]
        found.append(sum(paired_test(a[0], b[0], ids, draws=400).p < 0.05 for a, b, ids in tests))
    assert found[0] <= stats.binom.ppf(0.999, tries, 0.05)
    assert found[1] >= 0.9 * tries


def test_paired_test_equals_all_flips_of_signs() -> None:
    rng = np.random.default_rng(0)
    a, b, ids = rng.random(12), rng.random(12), np.repeat(np.arange(6), 2)
    sums = np.array([(b - a)[ids == identity].sum() for identity in range(6)])
    flips = np.array(np.meshgrid(*[[-1, 1]] * 6)).reshape(6, -1).T @ sums
    exact = np.mean(np.abs(flips) >= abs(sums.sum()) - 1e-12)
    found = paired_test(a, b, ids, draws=20_000)
    assert found.p == pytest.approx(exact, abs=0.015)
    assert (found.better, found.worse) == (int((b > a).sum()), int((b < a).sum()))


def test_paired_test_of_equal_runs_is_equal_and_not_a_number_nowhere() -> None:
    run = np.linspace(0, 1, 5)
    found = paired_test(run, run.copy(), np.arange(5))
    assert (found.difference, found.p, found.equal) == (0.0, 1.0, True)


def test_weights_count_a_query_as_often_as_they_say() -> None:
    rng = np.random.default_rng(2)
    a, b, ids, times = rng.random((2, 9)), rng.random((2, 9)) + 0.1, np.arange(9) // 3, np.arange(1, 10)
    often = [np.repeat(side, times, axis=1) for side in (a, b)]
    there = bootstrap(list(a), list(b), ids, draws=500, weights=times * 0.3)
    assert there == pytest.approx(bootstrap(*map(list, often), np.repeat(ids, times), draws=500))
    weighted = paired_test(a[0], b[0], ids, draws=500, weights=times * 0.3)
    repeated = paired_test(often[0][0], often[1][0], np.repeat(ids, times), draws=500)
    assert (weighted.difference, weighted.p) == pytest.approx((repeated.difference, repeated.p))
