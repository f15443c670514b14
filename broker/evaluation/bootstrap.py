"""Bootstrap intervals over rows: BCa, and percentile where BCa is undefined (Efron 1987); the computing is scipy's."""

from __future__ import annotations

import warnings
from importlib import import_module
from math import isfinite
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

RESAMPLES = 9999
# Resampled numbers held at once (8 bytes each): what stays in the processor's cache takes half the time.
BATCH_NUMBERS = 50_000


def bootstrap_ends(
    columns: Sequence[Sequence[float]], statistic: Callable[..., Any], confidence: float, seed: int
) -> tuple[float, float, str] | None:
    """Return the ends of an interval and the name of what made it; None where nothing can.

    Args:
        columns: Numbers of the rows, (columns, rows); a row's numbers are drawn together.
        statistic: Computes the figure of resampled columns along `axis`.
        confidence: Of the interval.
        seed: Of the resampling.
    """
    import numpy as np

    data = tuple(np.asarray(column, dtype=np.float64) for column in columns)
    for method, name in (("BCa", "BCa bootstrap"), ("percentile", "percentile bootstrap")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "The BCa confidence interval cannot be calculated": a nan, seen below
            found: Any = import_module("scipy.stats").bootstrap(
                data,
                statistic,
                paired=len(data) > 1,
                n_resamples=RESAMPLES,
                batch=max(1, BATCH_NUMBERS // len(data[0])),
                confidence_level=confidence,
                method=method,
                rng=np.random.default_rng(seed),
            )
        low, high = float(found.confidence_interval.low), float(found.confidence_interval.high)
        if isfinite(low) and isfinite(high):
            return low, high, name
    return None
