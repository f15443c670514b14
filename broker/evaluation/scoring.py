"""From answered rows to one metric's numbers: values, mean, interval, or the reason why there are none."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, cast

from anyio import to_thread

from broker.errors import BrokerError, StoreError, UnavailableError
from broker.evaluation.metrics import Kind, Metric, Scored
from broker.evaluation.record import MetricResult
from broker.evaluation.statistics import Interval, mean_interval, wilson

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


async def score_metric(metric: Metric, rows: Sequence[Scored | None]) -> MetricResult:
    """Compute one metric.

    Args:
        metric: What to compute.
        rows: The answered rows in order; None where the request failed.

    Returns:
        The numbers. When the metric raises, whatever it raises, `failure` holds the reason and there are no numbers: a
        broken metric must not cost the other columns, and the answers are stored already.

    Raises:
        StoreError: The disk refused (not a fault of the metric).
        UnavailableError: Somebody it asks, such as a judge, cannot answer now: worth trying again.
    """
    answered = [row for row in rows if row is not None]
    try:
        scores = await metric.score(answered) if answered else []
        _check(scores, len(answered), metric)
    except (StoreError, UnavailableError):
        raise
    except BrokerError as error:
        return _unavailable(metric, f"{error.message} ({error.fix})" if error.fix else error.message)
    except Exception as error:  # a metric may be anybody's code
        return _unavailable(metric, f"{type(error).__name__}: {error}")
    queue = iter(scores)
    values = tuple(None if row is None else next(queue) for row in rows)
    return await to_thread.run_sync(summarise, metric, values, len(answered))


def summarise(metric: Metric, values: Sequence[float | None], answered: int) -> MetricResult:
    """Return a metric's result for the values of all rows.

    Args:
        metric: What was computed.
        values: One per validation row; None where there is none.
        answered: Rows with an answer.
    """
    present = [value for value in values if value is not None]
    interval = interval_of(metric.kind, present)
    return MetricResult(
        name=metric.name,
        label=metric.label,
        unit=metric.unit,
        direction=metric.direction,
        kind=metric.kind,
        version=metric.version,
        values=tuple(values),
        value=interval.value,
        low=interval.low,
        high=interval.high,
        interval=interval.method,
        scored=len(present),
        unscored=answered - len(present),
        remarks=_remarks(metric),
        details=dict(cast("Mapping[str, float]", getattr(metric, "details", {}))),
    )


def interval_of(kind: Kind, values: Sequence[float]) -> Interval:
    """Return the mean of values with the 95 % interval that belongs to their kind."""
    if kind is Kind.PROPORTION:
        return wilson(sum(value != 0 for value in values), len(values))
    return mean_interval(values)


def _check(scores: Sequence[float | None], answered: int, metric: Metric) -> None:
    if len(scores) != answered:
        raise ValueError(f"{len(scores)} scores for {answered} rows")
    present = [score for score in scores if score is not None]
    if not all(isfinite(score) for score in present):
        raise ValueError("a score is not a finite number")
    if metric.kind is Kind.PROPORTION and any(score not in (0, 1) for score in present):
        raise ValueError("a proportion needs scores of 0 or 1")


def _unavailable(metric: Metric, reason: str) -> MetricResult:
    return MetricResult(
        name=metric.name,
        label=metric.label,
        unit=metric.unit,
        direction=metric.direction,
        kind=metric.kind,
        version=metric.version,
        failure=reason,
    )


def _remarks(metric: Metric) -> tuple[str, ...]:
    return tuple(cast("Sequence[str]", getattr(metric, "remarks", ())))
