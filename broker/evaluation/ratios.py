"""Intervals of ratios of sums, and differences of means of unlike rows; the computing is scipy's."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from math import isfinite
from typing import TYPE_CHECKING, Any

from broker.evaluation.bootstrap import bootstrap_ends
from broker.evaluation.statistics import CONFIDENCE, SEED, Interval, PairTest

if TYPE_CHECKING:
    from collections.abc import Sequence


def ratio_interval(
    numerators: Sequence[float], denominators: Sequence[float], confidence: float = CONFIDENCE, *, seed: int = SEED
) -> Interval:
    """Return the ratio of two sums over rows with its interval: BCa bootstrap over rows (percentile where BCa fails).

    Args:
        numerators: One a row.
        denominators: One a row, positive.
        confidence: Of the interval.
        seed: Of the resampling.

    Returns:
        Without rows an interval without a value; with one row, or all ratios equal, one without width or ends.
    """
    if not numerators:
        return Interval(value=None, method="no values")
    value = sum(numerators) / sum(denominators)
    if len(numerators) == 1:
        return Interval(value=value, method="one value")
    if len({top / bottom for top, bottom in zip(numerators, denominators, strict=True)}) == 1:
        return Interval(value=value, low=value, high=value, method="all values equal")
    ends = bootstrap_ends((numerators, denominators), _ratio, confidence, seed)
    if ends is None:
        return Interval(value=value, method="undefined")
    low, high, name = ends
    return Interval(value=value, low=low, high=high, method=name)


def _ratio(tops: Any, bottoms: Any, axis: int = -1) -> Any:
    return tops.sum(axis=axis) / bottoms.sum(axis=axis)


def unpaired(left: Sequence[float], right: Sequence[float], confidence: float = CONFIDENCE) -> PairTest:
    """Compare the means of two sets of unlike rows: Welch's t test and its interval.

    Args:
        left: Values of one set.
        right: Values of the other.
        confidence: Of the interval.

    Returns:
        `n` is the size of the smaller set; without two values on each side there is no difference and p is 1.
    """
    n = min(len(left), len(right))
    none = PairTest(n=n, difference=None, low=None, high=None, p=1.0, effect=None, spread=None, method="too few rows")
    if n < 2:
        return none
    found = _stats().ttest_ind(list(left), list(right), equal_var=False)
    ends, p = found.confidence_interval(confidence), float(found.pvalue)
    return replace(
        none,
        difference=sum(left) / len(left) - sum(right) / len(right),
        low=float(ends.low) if isfinite(ends.low) else None,
        high=float(ends.high) if isfinite(ends.high) else None,
        p=p if isfinite(p) else 1.0,
        method="Welch's t",
    )


def _stats() -> Any:
    return import_module("scipy.stats")  # on use, as Any: it takes half a second and carries no types
