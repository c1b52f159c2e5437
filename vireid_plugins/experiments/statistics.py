"""Whether two sides differ in mAP: a bootstrap over runs and queries, and a paired test over queries.

Shapes: `R` runs of a side, `Q` queries. AP is a mean over trials, 0..1; mAP is its mean by the weights of the queries,
which differ where trials draw their queries.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from vireid_plugins.evaluation.types import Ints

Floats = npt.NDArray[np.float64]
DRAWS = 10_000
# Level of a test: how often sides that do not differ are called different.
LEVEL = 0.05
# Elements of the largest intermediate.
ELEMENTS = 2**24


class Interval(NamedTuple):
    """A difference of mAP, B - A, in percent points.

    Attributes:
        difference: of the means.
        low: lower end of the confidence interval.
        high: upper end.
        equal: every query has the same AP on both sides.
    """

    difference: float
    low: float
    high: float
    equal: bool = False

    @property
    def differs(self) -> bool:
        """Whether the interval excludes 0."""
        return not self.equal and (self.low > 0 or self.high < 0)


class PairedTest(NamedTuple):
    """A paired test over queries of one run a side.

    Attributes:
        difference: mAP of B - A, in percent points.
        p: two-sided p-value of a sign-flip permutation test over identities; 1 if the runs are equal.
        better: number of queries with a higher AP in B.
        worse: number of queries with a lower AP in B.
        equal: every query has the same AP on both sides.
    """

    difference: float
    p: float
    better: int
    worse: int
    equal: bool


def bootstrap(
    a: Sequence[Floats],
    b: Sequence[Floats],
    ids: Ints,
    seed: int = 0,
    draws: int = DRAWS,
    weights: Floats | None = None,
) -> Interval:
    """Return the difference of two sides of several runs with its confidence interval of 95 %.

    A draw takes as many runs of each side and as many identities as there are, with replacement. The same identities
    are drawn for both sides, since all runs answer the same queries; all queries of an identity are drawn together,
    since they are much alike. With few runs the plain percentile interval is too narrow, because the variance over
    R runs is drawn (R - 1) / R times too small and its quantiles are those of a normal distribution: deviations between
    runs are scaled by sqrt(R / (R - 1)), and the interval is widened by the ratio of Student's quantile to the
    normal one, with the degrees of freedom of Welch.

    Args:
        a: (Q,) AP of the queries, for each run of a side.
        b: likewise; the runs of a side are not paired with those of the other.
        ids: (Q,) identities of the queries.
        seed: of the draws.
        draws: number of draws.
        weights: (Q,) weights of the queries, of any sum; by default all alike.
    """
    sides = [np.stack(side) for side in (a, b)]
    weights = _of_sum_1(weights, len(ids))
    means = [float((side @ weights).mean()) for side in sides]
    difference = 100 * (means[1] - means[0])
    if _equal(sides):
        return Interval(0.0, 0.0, 0.0, equal=True)
    _, identity = np.unique(ids, return_inverse=True)
    generator = np.random.default_rng(seed)
    groups = int(identity.max()) + 1
    # Sums of AP by run and identity, and the weight of each identity.
    sums = [
        np.stack([np.bincount(identity, weights * run, groups) for run in side]).astype(np.float64) for side in sides
    ]
    sizes = np.bincount(identity, weights, groups)
    chunk = max(1, ELEMENTS // groups)
    drawn = []
    for start in range(0, draws, chunk):
        count = min(chunk, draws - start)
        picks = generator.integers(groups, size=(count, groups))
        drawn.append([_draw(table, picks, sizes[picks].sum(1), generator) for table in sums])
    values = 100 * np.concatenate([right - left for left, right in drawn])
    widen = _widening([side @ weights for side in sides], float(values.var()))
    low, high = np.quantile(values, [LEVEL / 2, 1 - LEVEL / 2])
    return Interval(difference, difference - widen * (difference - low), difference + widen * (high - difference))


def _draw(sums: Floats, picks: Ints, weights: Floats, generator: np.random.Generator) -> Floats:
    """Return the mAP of a side in every draw (draws,)."""
    runs, count = len(sums), len(picks)
    # (draws, R): how often each run is drawn; then deviations from the mean over runs are scaled up.
    times = generator.multinomial(runs, np.full(runs, 1 / runs), size=count) / runs
    times = 1 / runs + (times - 1 / runs) * np.sqrt(runs / (runs - 1))
    of_run = np.stack([table[picks].sum(1) for table in sums], axis=1) / weights[:, None]
    mean: Floats = (times * of_run).sum(1)
    return mean


def _widening(sides: Sequence[Floats], variance: float) -> float:
    """Return Student's quantile over the normal one, from the mAP of the runs of both sides.

    The variance over queries is known well, that over runs by R - 1 degrees of freedom a side.
    """
    from scipy.stats import norm, t

    of_runs = [1e4 * float(side.var(ddof=1)) / len(side) for side in sides]
    squares = sum(part**2 / (len(side) - 1) for part, side in zip(of_runs, sides, strict=True))
    if squares == 0 or variance == 0:
        return 1.0
    # Welch and Satterthwaite, with the part of the queries as one of endless degrees of freedom.
    freedom = max(sum(of_runs), variance) ** 2 / squares
    return float(t.ppf(1 - LEVEL / 2, freedom) / norm.ppf(1 - LEVEL / 2))


def paired_test(
    a: Floats, b: Floats, ids: Ints, seed: int = 0, draws: int = DRAWS, weights: Floats | None = None
) -> PairedTest:
    """Return a paired test of two runs: the signs of the differences of identities are flipped at random.

    It speaks of these two files of weights: how much another seed would change is not in them.

    Args:
        a: (Q,) AP of the queries.
        b: (Q,) likewise.
        ids: (Q,) identities of the queries.
        seed: of the draws.
        draws: number of draws.
        weights: (Q,) weights of the queries, of any sum; by default all alike.
    """
    gap = b - a
    better, worse = int((gap > 0).sum()), int((gap < 0).sum())
    if not better and not worse:
        return PairedTest(0.0, 1.0, 0, 0, equal=True)
    _, identity = np.unique(ids, return_inverse=True)
    weighted = gap * _of_sum_1(weights, len(ids))
    sums = np.bincount(identity, weighted)
    generator = np.random.default_rng(seed)
    found, beyond = abs(float(sums.sum())), 0
    chunk = max(1, ELEMENTS // len(sums))
    for start in range(0, draws, chunk):
        signs = generator.integers(0, 2, size=(min(chunk, draws - start), len(sums))) * 2 - 1
        # Equal but for rounding counts as beyond: a p-value must not be too small.
        beyond += int((np.abs(signs @ sums) >= found * (1 - 1e-12)).sum())
    return PairedTest(100 * float(weighted.sum()), (beyond + 1) / (draws + 1), better, worse, equal=False)


def _of_sum_1(weights: Floats | None, count: int) -> Floats:
    return np.full(count, 1 / count) if weights is None else weights / weights.sum()


def _equal(sides: Sequence[Floats]) -> bool:
    """Return whether all runs of both sides have the same AP for every query."""
    return all(np.array_equal(run, sides[0][0]) for side in sides for run in side)
