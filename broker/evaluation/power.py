"""What a sample could have shown: the smallest true difference that a paired test of n rows finds four times in five.

Checked by simulation against the very tests of `broker.evaluation.statistics` (`tests/unit/evaluation/test_power.py`).
The figures are for one comparison by itself; where Holm is asked of several, each needs more.
"""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, Any

from broker.evaluation.statistics import ALPHA, library

if TYPE_CHECKING:
    from collections.abc import Callable

POWER = 0.8
# A mean of so many standard errors is found almost always, by six rows too.
_GREATEST = 8.0


def detectable_mean(n: int, spread: float, *, alpha: float = ALPHA, power: float = POWER) -> float | None:
    """Return the smallest true mean difference that a paired test of n rows finds with a given power.

    By the t test (statsmodels), which the permutation test of normal differences follows from seven rows on (simulated:
    76 % at seven, 79 to 81 % beyond). With six rows only six differences of one sign are significant.

    Args:
        n: Rows.
        spread: Standard deviation of the differences.
        alpha: Of the two-sided test.
        power: Chance to find it.

    Returns:
        In the unit of `spread`; None for fewer rows than the permutation test needs to find anything.
    """
    if n < fewest(alpha):
        return None
    found = library("statsmodels.stats.power").TTestPower().power
    # Its own solve_power finds no root for some n (73, 1,000) and then returns an array.

    def surplus(effect: float) -> float:
        return float(found(effect, n, alpha, alternative="two-sided")) - power

    solved = library("scipy.optimize").brentq(surplus, 0.0, _GREATEST / sqrt(n), xtol=1e-12)
    if n == fewest(alpha):
        solved = max(solved, library("scipy.stats").norm.ppf(power ** (1 / n)))
    return float(solved) * spread


def detectable_proportion(n: int, discordant: float, *, alpha: float = ALPHA, power: float = POWER) -> float | None:
    """Return the smallest true difference of two proportions that McNemar's exact test of n rows finds.

    Connor's formula (Biometrics 43:207, 1987) is for the test that is not exact: at its difference the exact test has a
    power of 74 to 79 % rather than 80 (20 to 1,000 rows). So the exact test's own power is solved for the difference.

    Args:
        n: Rows.
        discordant: Share of rows on which the two differ; raised to the difference where that is greater.
        alpha: Of the two-sided test.
        power: Chance to find it.

    Returns:
        A difference in 0..1; None when no difference can be found with so few rows.
    """
    if n < fewest(alpha):
        return None
    found = _exact_power(n, alpha)

    def surplus(difference: float) -> float:
        return found(max(discordant, difference), difference) - power

    if surplus(1.0) < 0:
        return None
    return float(library("scipy.optimize").brentq(surplus, 0.0, 1.0, xtol=1e-6))


def fewest(alpha: float = ALPHA) -> int:
    """Return how many rows must differ, all one way, before an exact paired test can call two models different."""
    n = 1
    while 2.0 ** (1 - n) >= alpha:
        n += 1
    return n


def mcnemar_power(n: int, discordant: float, difference: float, *, alpha: float = ALPHA) -> float:
    """Return the power of McNemar's exact two-sided test, over every possible number of differing rows.

    Args:
        n: Rows.
        discordant: Share of rows that differ.
        difference: Of the two proportions, at most `discordant`.
        alpha: Of the test.

    Source: O'Brien, in Applied Analysis of Variance (2002), as G*Power computes it.
    """
    return _exact_power(n, alpha)(discordant, difference)


def _exact_power(n: int, alpha: float) -> Callable[[float, float], float]:
    import numpy as np

    binom: Any = library("scipy.stats").binom
    differing = np.arange(n + 1)
    # The most rows on the smaller side with which a split is still significant; -1 where none is.
    side = np.asarray(binom.ppf(alpha / 2, differing, 0.5), dtype=np.int64)
    side = np.where(2 * binom.cdf(side, differing, 0.5) < alpha, side, side - 1)

    def power(discordant: float, difference: float) -> float:
        theta = (1 + difference / discordant) / 2 if discordant else 0.5
        one = binom.cdf(side, differing, theta) + binom.cdf(side, differing, 1 - theta)
        return float((binom.pmf(differing, n, min(discordant, 1.0)) * one).sum())

    return power
