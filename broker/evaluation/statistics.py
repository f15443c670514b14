"""Intervals, paired tests and what a sample could have shown; the computing is scipy's and statsmodels'.

Two kinds of numbers are compared, always on the same validation rows:

| kind | interval | test of a pair | effect |
|---|---|---|---|
| proportion | Wilson score | exact McNemar | difference, Cohen's h |
| mean | BCa bootstrap | sign-flip permutation | difference, Cohen's d of the differences |

Every random step has a fixed seed, so the same values give the same figures.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from importlib import import_module
from math import asin, ceil, isfinite, log2, sqrt
from typing import TYPE_CHECKING, Any

from broker.errors import MissingExtraError
from broker.evaluation.metrics import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

CONFIDENCE = 0.95
ALPHA = 0.05
POWER = 0.8
RESAMPLES = 9999
SEED = 713
# Resampled numbers held in memory at once (8 bytes each).
_BATCH_NUMBERS = 2_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A number with its confidence interval.

    Attributes:
        value: The estimate; None without data.
        low: Lower end; None when it cannot be had.
        high: Upper end.
        method: How it was made.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    method: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairTest:
    """Two models compared on the rows where both have a value.

    Attributes:
        n: Rows compared.
        difference: Left minus right, in the metric's own unit (proportions: 0..1); None without rows.
        low: Lower end of its 95 % interval (BCa bootstrap over rows); None when it cannot be had.
        high: Upper end.
        p: Two-sided p value; 1 when the rows do not differ at all.
        effect: Cohen's h (proportions) or Cohen's d of the differences (means); None when it cannot be had.
        spread: Share of rows that differ (proportions) or standard deviation of the differences (means): what the
            smallest detectable difference depends on.
        method: The test.
    """

    n: int
    difference: float | None
    low: float | None
    high: float | None
    p: float
    effect: float | None
    spread: float | None
    method: str


def _library(name: str) -> Any:
    # Imported on use (scipy.stats alone takes half a second), and as Any: neither library carries types.
    try:
        return import_module(name)
    except ImportError as error:
        raise MissingExtraError(f"statistics need {name}: {error}", fix="pip install scipy statsmodels") from error


def _stats() -> Any:
    return _library("scipy.stats")


def wilson(successes: int, n: int, confidence: float = CONFIDENCE) -> Interval:
    """Return a proportion with Wilson's score interval (Wilson 1927; by scipy).

    Args:
        successes: Rows that passed.
        n: Rows.
        confidence: Of the interval.

    Returns:
        Without rows, an interval without a value.
    """
    if n == 0:
        return Interval(value=None, method="no values")
    found = _stats().binomtest(successes, n).proportion_ci(confidence_level=confidence, method="wilson")
    return Interval(value=successes / n, low=float(found.low), high=float(found.high), method="Wilson")


def wilson_halves(halves: int, n: int, confidence: float = CONFIDENCE) -> Interval:
    """Return a share in which a row counts 0, a half or 1, with Wilson's score interval (by statsmodels).

    Half-counted rows spread less than rows of 0 and 1 with the same mean, so the interval is rather too wide.

    Args:
        halves: Twice the sum of the rows.
        n: Rows.
        confidence: Of the interval.

    Returns:
        Without rows, an interval without a value.
    """
    if n == 0:
        return Interval(value=None, method="no values")
    proportion = _library("statsmodels.stats.proportion")
    low, high = proportion.proportion_confint(halves / 2, n, alpha=1 - confidence, method="wilson")
    return Interval(value=halves / 2 / n, low=float(low), high=float(high), method="Wilson, ties as halves")


def mean_interval(values: Sequence[float], confidence: float = CONFIDENCE, *, seed: int = SEED) -> Interval:
    """Return a mean with its BCa bootstrap interval (Efron 1987; by scipy).

    Args:
        values: Finite numbers.
        confidence: Of the interval.
        seed: Of the resampling.

    Returns:
        Without values, nothing; for one value, no ends; for equal values, an interval of no width (they show no
        spread).
        The percentile bootstrap where BCa is undefined.
    """
    if not values:
        return Interval(value=None, method="no values")
    import numpy as np

    data = np.asarray(values, dtype=np.float64)
    if len(data) == 1:
        return Interval(value=float(data[0]), method="one value")
    if bool(np.all(data == data[0])):
        return Interval(value=float(data[0]), low=float(data[0]), high=float(data[0]), method="all values equal")
    mean = float(data.mean())
    for method, name in (("BCa", "BCa bootstrap"), ("percentile", "percentile bootstrap")):
        low, high = _bootstrap(data, method, confidence, seed)
        if isfinite(low) and isfinite(high):
            return Interval(value=mean, low=low, high=high, method=name)
    return Interval(value=mean, method="undefined")


def _bootstrap(data: Array, method: Any, confidence: float, seed: int) -> tuple[float, float]:
    import numpy as np

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "The BCa confidence interval cannot be calculated": seen as a nan below
        found = (
            _stats()
            .bootstrap(
                (data,),
                np.mean,
                n_resamples=RESAMPLES,
                batch=max(1, _BATCH_NUMBERS // len(data)),
                confidence_level=confidence,
                method=method,
                rng=np.random.default_rng(seed),
            )
            .confidence_interval
        )
    return float(found.low), float(found.high)


def mcnemar_p(only_left: int, only_right: int) -> float:
    """Return the p value of the exact McNemar test (by statsmodels).

    Args:
        only_left: Rows that only the left model passed.
        only_right: Rows that only the right model passed.
    """
    if only_left + only_right == 0:
        return 1.0
    tables = _library("statsmodels.stats.contingency_tables")
    return min(1.0, float(tables.mcnemar([[0, only_left], [only_right, 0]], exact=True).pvalue))


def permutation_p(left: Sequence[float], right: Sequence[float], *, seed: int = SEED) -> float:
    """Return the p value of the paired permutation test of the mean difference: random signs of the differences.

    Exact when all sign flips can be tried (13 rows and fewer), else by 9,999 random ones (both by scipy).

    Args:
        left: Values of one model.
        right: Values of the other on the same rows.
        seed: Of the random flips.
    """
    import numpy as np

    differences = np.asarray(left, dtype=np.float64) - np.asarray(right, dtype=np.float64)
    if len(differences) < 2 or not differences.any():
        return 1.0
    test = _all_flips if 2 ** len(differences) <= RESAMPLES else _random_flips
    return min(1.0, test(differences, seed))


def _all_flips(differences: Array, _seed: int) -> float:
    def total(sample: Array, axis: int = -1) -> Any:
        return sample.sum(axis=axis)

    found = _stats().permutation_test((differences,), total, permutation_type="samples", n_resamples=RESAMPLES)
    return float(found.pvalue)


def _random_flips(differences: Array, seed: int) -> float:
    import numpy as np

    random = np.random.default_rng(seed)

    def signs(size: tuple[int, ...]) -> Array:
        return random.integers(0, 2, size=size, dtype=np.int8).astype(np.float64) * 2 - 1

    def total(sample: Array, axis: int = -1) -> Any:
        del axis  # the rows of `sample` are sets of signs; the one seen is all ones
        return sample @ differences

    found = _stats().monte_carlo_test(
        np.ones(len(differences)),
        signs,
        total,
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=max(1, _BATCH_NUMBERS // len(differences)),
    )
    return float(found.pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm's adjusted p values, in order (Holm 1979; by statsmodels)."""
    if not p_values:
        return []
    multitest = _library("statsmodels.stats.multitest")
    return [float(p) for p in multitest.multipletests(list(p_values), alpha=ALPHA, method="holm")[1]]


def compare(
    kind: Kind, left: Sequence[float | None], right: Sequence[float | None], *, interval: bool = True
) -> PairTest:
    """Compare two models on the rows where both have a value.

    Args:
        kind: Which test belongs to the values.
        left: Values of one model by row; None where it has none.
        right: Values of the other on the same rows.
        interval: Make the interval of the difference as well (most of the time goes there).
    """
    pairs = [(a, b) for a, b in zip(left, right, strict=True) if a is not None and b is not None]
    differences = [a - b for a, b in pairs]
    if kind is Kind.PROPORTION:
        only_left, only_right = sum(d > 0 for d in differences), sum(d < 0 for d in differences)
        p, method = mcnemar_p(only_left, only_right), "McNemar, exact"
    else:
        p, method = permutation_p([a for a, _ in pairs], [b for _, b in pairs]), "paired permutation"
    ends = mean_interval(differences) if interval else Interval(value=None)
    return PairTest(
        n=len(pairs),
        difference=sum(differences) / len(pairs) if pairs else None,
        low=ends.low,
        high=ends.high,
        p=p,
        effect=_effect(kind, pairs),
        spread=_spread(kind, differences),
        method=method,
    )


def _effect(kind: Kind, pairs: Sequence[tuple[float, float]]) -> float | None:
    if not pairs:
        return None
    if kind is Kind.PROPORTION:
        return cohens_h(sum(a for a, _ in pairs) / len(pairs), sum(b for _, b in pairs) / len(pairs))
    differences = [a - b for a, b in pairs]
    spread = _spread(kind, differences)
    mean = sum(differences) / len(differences)
    return 0.0 if mean == 0 else mean / spread if spread else None


def _spread(kind: Kind, differences: Sequence[float]) -> float | None:
    n = len(differences)
    if n < 2:
        return None
    if kind is Kind.PROPORTION:
        return sum(d != 0 for d in differences) / n
    mean = sum(differences) / n
    return sqrt(sum((d - mean) ** 2 for d in differences) / (n - 1))


def cohens_h(left: float, right: float) -> float:
    """Return the effect size of two proportions (Cohen 1988, 6.2): 0.2 small, 0.5 medium, 0.8 large."""
    return 2 * asin(sqrt(left)) - 2 * asin(sqrt(right))


def detectable_mean(n: int, spread: float, *, alpha: float = ALPHA, power: float = POWER) -> float | None:
    """Return the smallest true mean difference that a paired test of n rows finds with a given power (by statsmodels).

    Args:
        n: Rows.
        spread: Standard deviation of the differences.
        alpha: Of the two-sided test.
        power: Chance to find it.

    Returns:
        In the unit of `spread`; None for fewer than three rows.
    """
    if n < 3:
        return None
    solved = (
        _library("statsmodels.stats.power")
        .TTestPower()
        .solve_power(nobs=n, alpha=alpha, power=power, alternative="two-sided")
    )
    return float(solved) * spread


def detectable_proportion(n: int, discordant: float, *, alpha: float = ALPHA, power: float = POWER) -> float | None:
    """Return the smallest true difference of two proportions that McNemar's test of n rows finds with the given power.

    The sample size formula of Connor (Biometrics 43:207, 1987), solved for the difference; never below what the exact
    test needs at least (six differing rows, all one way, at alpha 0.05).

    Args:
        n: Rows.
        discordant: Share of rows on which the two differ.
        alpha: Of the two-sided test.
        power: Chance to find it.

    Returns:
        A difference in 0..1; None when no difference can be found with so few rows.
    """
    least = ceil(1 - log2(alpha)) / n if n else 2.0
    if least > 1:
        return None
    z_alpha, z_power = float(_stats().norm.isf(alpha / 2)), float(_stats().norm.ppf(power))

    def shortfall(difference: float) -> float:
        share = max(discordant, difference)
        reach = z_alpha * sqrt(share) + z_power * sqrt(share - difference**2)
        return difference * sqrt(n) - reach

    if shortfall(1.0) < 0:
        return None
    return max(least, float(_library("scipy.optimize").brentq(shortfall, 1e-9, 1.0)))
