"""Shares of parts, where some rows have more parts than others: instructions followed, of all instructions.

The number is the parts that passed, of all parts, so a row with three parts weighs three times as much as one with
one. But the parts of one row are about one answer and pass and fail together: they are no sample of their own.
Intervals and tests therefore draw, and flip, whole rows.
"""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING

from broker.evaluation.metrics import Kind
from broker.evaluation.ratios import ratio_interval
from broker.evaluation.statistics import (
    Interval,
    PairTest,
    compare,
    mean_interval,
    paired_proportions_interval,
    permutation_p,
    wilson,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker.evaluation.record import MetricResult

# A spread that is smaller against the difference is the rounding of equal numbers.
_ROUNDING = 1e-9
_METHOD = "paired permutation of rows"


def weighted_mean(values: Sequence[float], weights: Sequence[float]) -> float:
    """Return the mean in which each value counts as often as its weight says; the plain one without weights."""
    if not weights:
        return sum(values) / len(values)
    return sum(value * weight for value, weight in zip(values, weights, strict=True)) / sum(weights)


def weighted_interval(values: Sequence[float], weights: Sequence[float]) -> Interval:
    """Return a weighted mean with its bootstrap interval over rows; `mean_interval` without weights."""
    if not weights:
        return mean_interval(values)
    return ratio_interval([value * weight for value, weight in zip(values, weights, strict=True)], weights)


def share_interval(values: Sequence[float], weights: Sequence[float]) -> Interval:
    """Return the share of all parts that passed, with its interval.

    Args:
        values: By row: the share of its parts that passed, 0 to 1.
        weights: How many parts each row has; above 0.

    Returns:
        The BCa bootstrap over rows. Where every part passed, or none did, there is nothing to draw but the same again:
        Wilson's interval as if each row had one part.
    """
    if values and (set(values) == {0} or set(values) == {1}):
        ends = wilson(int(values[0]) * len(values), len(values))
        return Interval(value=float(values[0]), low=ends.low, high=ends.high, method="Wilson over rows")
    return weighted_interval(values, weights)


def compare_results(left: MetricResult, right: MetricResult, *, interval: bool = True) -> PairTest:
    """Compare two models in one metric, by the test that belongs to its kind.

    Args:
        left: The metric of one model.
        right: The same metric of the other, on the same rows.
        interval: Make the interval of the difference as well.
    """
    if left.kind is Kind.RATIO:
        return compare_shares(left.values, right.values, left.parts, interval=interval)
    return compare(left.kind, left.values, right.values, interval=interval)


def compare_shares(
    left: Sequence[float | None],
    right: Sequence[float | None],
    weights: Sequence[float],
    *,
    interval: bool = True,
) -> PairTest:
    """Compare two models' shares on the rows where both have a value.

    Args:
        left: Shares of one model by row; None where it has none.
        right: Shares of the other on the same rows.
        weights: How many parts each row has.
        interval: Make the interval of the difference as well.

    Returns:
        The test flips the signs of whole rows' differences in parts. `spread` is the standard deviation of a row's
        influence on the difference, so that it has the unit and the use of the spread of means; `effect` is the
        difference by it.
    """
    rows = [(a, b, w) for a, b, w in zip(left, right, weights, strict=True) if a is not None and b is not None]
    if not rows:
        return PairTest(n=0, difference=None, low=None, high=None, p=1.0, effect=None, spread=None, method=_METHOD)
    differences, sizes = [a - b for a, b, _ in rows], [w for *_, w in rows]
    difference = weighted_mean(differences, sizes)
    spread = _spread(differences, sizes, difference)
    low, high = _ends(differences, sizes) if interval else (None, None)
    return PairTest(
        n=len(rows),
        difference=difference,
        low=low,
        high=high,
        p=permutation_p([a * w for a, _, w in rows], [b * w for _, b, w in rows]),
        effect=0.0 if difference == 0 else difference / spread if spread else None,
        spread=spread,
        method=_METHOD,
    )


def _ends(differences: Sequence[float], sizes: Sequence[float]) -> tuple[float | None, float | None]:
    """Return the ends of the difference's interval; rows that never differ do not prove two models equal."""
    if not any(differences):
        return paired_proportions_interval(0, 0, len(differences)) or (None, None)
    found = weighted_interval(differences, sizes)
    return found.low, found.high


def _spread(differences: Sequence[float], sizes: Sequence[float], difference: float) -> float | None:
    """Return the standard deviation of the rows' influence (a ratio's, by its first-order expansion)."""
    n, mean_size = len(differences), sum(sizes) / len(sizes)
    if n < 2:
        return None
    influence = [size * (one - difference) / mean_size for one, size in zip(differences, sizes, strict=True)]
    spread = sqrt(sum(one * one for one in influence) / (n - 1))
    return spread if spread > _ROUNDING * abs(difference) else 0.0
