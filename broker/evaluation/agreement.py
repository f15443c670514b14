"""How far several judgements of the same rows agree."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def krippendorff_alpha(rows: Iterable[Sequence[float]]) -> float | None:
    """Return Krippendorff's alpha for numbers (interval distance).

    Args:
        rows: The judgements of each row, in any order; a row with fewer than two says nothing about agreement.

    Returns:
        1 when all judgements of a row are equal, 0 when they differ as judgements of different rows do, below 0 when
        they differ more than that. None when no row has two judgements, or when all judgements are equal (there is
        nothing by which agreement could be told from habit).

    Source: Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), sections D and E.
    """
    pairable = [values for values in rows if len(values) > 1]
    everything = [value for values in pairable for value in values]
    if not everything:
        return None
    n = len(everything)
    expected = _squares(everything) / (n * (n - 1))
    if expected <= 0:
        return None
    observed = sum(_squares(values) / (len(values) - 1) for values in pairable) / n
    return 1 - observed / expected


def pairwise_agreement(rows: Iterable[Sequence[object]]) -> float | None:
    """Return the share of pairs of judgements on the same row that are equal; None without a pair."""
    equal = pairs = 0
    for values in rows:
        m = len(values)
        pairs += m * (m - 1) // 2
        equal += sum(values[i] == values[j] for i in range(m) for j in range(i + 1, m))
    return equal / pairs if pairs else None


def spread_within(rows: Iterable[Sequence[float]]) -> float | None:
    """Return the pooled standard deviation of the judgements of one row; None when no row has two."""
    pairable = [values for values in rows if len(values) > 1]
    freedom = sum(len(values) - 1 for values in pairable)
    if not freedom:
        return None
    return sqrt(sum(_squares(values) / (2 * len(values)) for values in pairable) / freedom)


def _squares(values: Sequence[float]) -> float:
    """Return the squared distances of all ordered pairs, from the mean, so that equal values give exactly 0."""
    mean = sum(values) / len(values)
    if all(value == values[0] for value in values):
        return 0.0
    return 2 * len(values) * sum((value - mean) ** 2 for value in values)
