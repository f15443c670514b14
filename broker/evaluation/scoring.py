"""From answered rows to one metric's numbers: values, mean, interval, or the reason why there are none."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, cast

from anyio import to_thread

from broker.errors import BrokerError, StoreError, UnavailableError
from broker.evaluation.metrics import Kind, Metric, Scored
from broker.evaluation.record import MetricResult
from broker.evaluation.shares import share_interval
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
    if answered and "expected" in metric.needs and not any(row.expected.strip() for row in answered):
        return _unavailable(metric, "the validation rows have no expected answers")
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
    parts = _parts(metric, rows, values)
    return await to_thread.run_sync(summarise, metric, values, len(answered), parts)


def summarise(
    metric: Metric, values: Sequence[float | None], answered: int, parts: Sequence[float] = ()
) -> MetricResult:
    """Return a metric's result for the values of all rows.

    Args:
        metric: What was computed.
        values: One per validation row; None where there is none.
        answered: Rows with an answer.
        parts: Of kind ratio: how many each row has.
    """
    present = [value for value in values if value is not None]
    interval = interval_of(metric.kind, present, [count for count in parts if count])
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
        parts=tuple(parts),
        breakdown=cast("Mapping[str, Mapping[str, int]]", getattr(metric, "breakdown", {})),
    )


def interval_of(kind: Kind, values: Sequence[float], weights: Sequence[float] = ()) -> Interval:
    """Return the mean of values with the 95 % interval that belongs to their kind.

    Args:
        kind: Of the values.
        values: One per row.
        weights: Of kind ratio: how many parts each row has.
    """
    if kind is Kind.PROPORTION:
        return wilson(sum(value != 0 for value in values), len(values))
    return share_interval(values, weights) if kind is Kind.RATIO else mean_interval(values)


def _parts(metric: Metric, rows: Sequence[Scored | None], values: Sequence[float | None]) -> tuple[float, ...]:
    """Return the parts of all rows, 0 for those without a value; nothing for other kinds than ratio."""
    if metric.kind is not Kind.RATIO:
        return ()
    queue = iter(_given_parts(metric))
    of_rows = [0.0 if row is None else float(next(queue)) for row in rows]
    return tuple(0.0 if value is None else count for count, value in zip(of_rows, values, strict=True))


def _given_parts(metric: Metric) -> Sequence[float]:
    return cast("Sequence[float]", getattr(metric, "parts", ()))


def _check(scores: Sequence[float | None], answered: int, metric: Metric) -> None:
    if len(scores) != answered:
        raise ValueError(f"{len(scores)} scores for {answered} rows")
    if metric.kind is Kind.RATIO:
        _check_ratio(scores, _given_parts(metric))
    present = [score for score in scores if score is not None]
    if not all(isfinite(score) for score in present):
        raise ValueError("a score is not a finite number")
    if metric.kind is Kind.PROPORTION and any(score not in (0, 1) for score in present):
        raise ValueError("a proportion needs scores of 0 or 1")


def _check_ratio(scores: Sequence[float | None], parts: Sequence[float]) -> None:
    if len(parts) != len(scores):
        raise ValueError(f"{len(parts)} counts of parts for {len(scores)} rows")
    scored = [(score, count) for score, count in zip(scores, parts, strict=True) if score is not None]
    if not all(0 <= score <= 1 and count > 0 and isfinite(count) for score, count in scored):
        raise ValueError("a ratio needs scores from 0 to 1, each of at least one part")


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
