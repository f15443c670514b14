"""Intervals and paired tests; the computing is scipy's and statsmodels'.

Two kinds of numbers are compared, always on the same validation rows:

| kind | interval | interval of a difference | test of a pair | effect |
|---|---|---|---|---|
| proportion | Wilson score | Tango score | exact McNemar | difference, Cohen's h |
| mean | BCa bootstrap | BCa bootstrap | sign-flip permutation | difference, Cohen's d of the differences |

What a sample could have shown is in `broker.evaluation.power`.

Every random step has a fixed seed, so the same values give the same figures.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from math import asin, exp, sqrt
from typing import TYPE_CHECKING, Any

from broker.errors import MissingExtraError
from broker.evaluation.bootstrap import BATCH_NUMBERS, RESAMPLES, bootstrap_ends
from broker.evaluation.metrics import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

CONFIDENCE = 0.95
ALPHA = 0.05
SEED = 713
# A standard deviation that is smaller against the mean is the rounding of equal numbers.
_ROUNDING = 1e-9


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
        low: Lower end of its 95 % interval (proportions: Tango; means: BCa bootstrap over rows); None when it cannot be
            had.
        high: Upper end.
        p: Two-sided p value; 1 when the rows do not differ at all.
        effect: Cohen's h (proportions) or Cohen's d of the differences (means); None when it cannot be had.
        spread: Share of rows that differ (proportions) or standard deviation of the differences (means): what the
            smallest detectable difference depends on.
        method: The test.
        only_left: Rows on which only the left model passed; None for means.
        only_right: Rows on which only the right model passed.
    """

    n: int
    difference: float | None
    low: float | None
    high: float | None
    p: float
    effect: float | None
    spread: float | None
    method: str
    only_left: int | None = None
    only_right: int | None = None


def library(name: str) -> Any:
    """Return one of the libraries that compute.

    Raises:
        MissingExtraError: It is not installed.
    """
    # Imported on use (scipy.stats alone takes half a second), and as Any: neither library carries types.
    try:
        return import_module(name)
    except ImportError as error:
        raise MissingExtraError(f"statistics need {name}: {error}", fix="pip install scipy statsmodels") from error


def _stats() -> Any:
    return library("scipy.stats")


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
    proportion = library("statsmodels.stats.proportion")
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
    ends = bootstrap_ends((values,), np.mean, confidence, seed)
    if ends is None:
        return Interval(value=float(data.mean()), method="undefined")
    low, high, name = ends
    return Interval(value=float(data.mean()), low=low, high=high, method=name)


def paired_proportions_interval(
    only_left: int, only_right: int, n: int, confidence: float = CONFIDENCE
) -> tuple[float, float] | None:
    """Return the score interval of the difference of two proportions on the same rows.

    It inverts McNemar's own statistic, so it has a width even when the models never differ: n equal rows do not prove
    two models equal.

    Args:
        only_left: Rows that only the left model passed.
        only_right: Rows that only the right model passed.
        n: All rows.
        confidence: Of the interval.

    Returns:
        Its ends; None without rows.

    Source: Tango, Statistics in Medicine 17:891 (1998).
    """
    if n == 0:
        return None
    z = float(_stats().norm.isf((1 - confidence) / 2))
    high = _tango_end(only_left, only_right, n, z)
    low = -_tango_end(only_right, only_left, n, z)
    return low, high


def _tango_end(gains: int, losses: int, n: int, z: float) -> float:
    """Return the upper end: the largest difference whose score is not below -z."""
    seen = (gains - losses) / n
    if gains == n:
        return 1.0

    def above(difference: float) -> float:
        b = (2 * n - gains + losses) * difference - gains - losses
        root = sqrt(max(b * b + 8 * n * losses * difference * (1 - difference), 0.0))
        share = (root - b) / (4 * n)
        variance = n * (2 * share + difference * (1 - difference))
        return gains - losses - n * difference + z * sqrt(max(variance, 0.0))

    # At the difference seen itself the variance may be nothing, and the score with it.
    return float(library("scipy.optimize").brentq(above, seen + 1e-12, 1.0))


def mcnemar_p(only_left: int, only_right: int) -> float:
    """Return the p value of the exact McNemar test (by statsmodels).

    Args:
        only_left: Rows that only the left model passed.
        only_right: Rows that only the right model passed.
    """
    if only_left + only_right == 0:
        return 1.0
    tables = library("statsmodels.stats.contingency_tables")
    return min(1.0, float(tables.mcnemar([[0, only_left], [only_right, 0]], exact=True).pvalue))


def permutation_p(left: Sequence[float], right: Sequence[float], *, seed: int = SEED) -> float:
    """Return the p value of the paired permutation test of the mean difference: random signs of the differences.

    Rows that do not differ change nothing and are left out. Exact when all sign flips of the others can be tried (13
    rows and fewer), else by 9,999 random ones (both by scipy). Random flips alone never give less than 2 / 10,000,
    which no family of 500 comparisons would survive; so a p value is never above Hoeffding's bound of it,
    2 exp(-z² / 2) with z = |sum of the differences| / root of the sum of their squares (J. Am. Stat. Assoc. 58:13,
    1963), which holds for every number of rows.

    Args:
        left: Values of one model.
        right: Values of the other on the same rows.
        seed: Of the random flips.
    """
    import numpy as np

    differences = np.asarray(left, dtype=np.float64) - np.asarray(right, dtype=np.float64)
    differences = differences[differences != 0]
    if len(differences) < 2:
        return 1.0
    if 2 ** len(differences) <= RESAMPLES:
        return min(1.0, _all_flips(differences, seed))
    bound = 2 * exp(-(float(differences.sum()) ** 2) / (2 * float(differences @ differences)))
    return min(1.0, bound, _random_flips(differences, seed))


def _all_flips(differences: Array, _seed: int) -> float:
    def total(sample: Array, axis: int = -1) -> Any:
        return sample.sum(axis=axis)

    found = _stats().permutation_test((differences,), total, permutation_type="samples", n_resamples=RESAMPLES)
    return float(found.pvalue)


def _random_flips(differences: Array, seed: int) -> float:
    import numpy as np

    random = np.random.default_rng(seed)
    # A random byte is eight signs: to draw one number for each takes four times as long.
    of_byte = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).astype(np.float64) * 2 - 1

    def signs(size: tuple[int, ...]) -> Array:
        rows, count = size
        drawn = random.integers(0, 256, size=(rows, -(-count // 8)), dtype=np.uint8)
        return np.take(of_byte, drawn.ravel(), axis=0).reshape(rows, -1)[:, :count]

    def total(sample: Array, axis: int = -1) -> Any:
        del axis  # the rows of `sample` are sets of signs; the one seen is all ones
        return sample @ differences

    found = _stats().monte_carlo_test(
        np.ones(len(differences)),
        signs,
        total,
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=max(1, BATCH_NUMBERS // len(differences)),
    )
    return float(found.pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm's adjusted p values, in order (Holm 1979; by statsmodels)."""
    if not p_values:
        return []
    multitest = library("statsmodels.stats.multitest")
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

    Raises:
        ValueError: The kind is ratio (`broker.evaluation.shares`).
    """
    if kind is Kind.RATIO:
        raise ValueError("shares of parts have weights: compare_shares")
    pairs = [(a, b) for a, b in zip(left, right, strict=True) if a is not None and b is not None]
    differences = [a - b for a, b in pairs]
    test = _compared_proportions if kind is Kind.PROPORTION else _compared_means
    return test(pairs, differences, interval=interval)


Pairs = list[tuple[float, float]]


def _compared_proportions(pairs: Pairs, differences: list[float], *, interval: bool) -> PairTest:
    n, only_left, only_right = len(pairs), sum(d > 0 for d in differences), sum(d < 0 for d in differences)
    ends = paired_proportions_interval(only_left, only_right, n) if interval else None
    return PairTest(
        n=n,
        difference=(only_left - only_right) / n if n else None,
        low=ends[0] if ends else None,
        high=ends[1] if ends else None,
        p=mcnemar_p(only_left, only_right),
        effect=_effect(Kind.PROPORTION, pairs),
        spread=_spread(Kind.PROPORTION, differences),
        method="McNemar, exact",
        only_left=only_left,
        only_right=only_right,
    )


def _compared_means(pairs: Pairs, differences: list[float], *, interval: bool) -> PairTest:
    ends = mean_interval(differences) if interval else Interval(value=None)
    return PairTest(
        n=len(pairs),
        difference=sum(differences) / len(pairs) if pairs else None,
        low=ends.low,
        high=ends.high,
        p=permutation_p([a for a, _ in pairs], [b for _, b in pairs]),
        effect=_effect(Kind.MEAN, pairs),
        spread=_spread(Kind.MEAN, differences),
        method="paired permutation",
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
    spread = sqrt(sum((d - mean) ** 2 for d in differences) / (n - 1))
    return spread if spread > _ROUNDING * abs(mean) else 0.0


def cohens_h(left: float, right: float) -> float:
    """Return the effect size of two proportions (Cohen 1988, 6.2): 0.2 small, 0.5 medium, 0.8 large."""
    return 2 * asin(sqrt(left)) - 2 * asin(sqrt(right))
