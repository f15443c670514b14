"""Metrics that compare or count text without a model: length, exact match, extracted-answer match."""

from __future__ import annotations

from broker.evaluation.finals import agree, same
from broker.evaluation.metrics import Direction, Kind, MetricContext, RowMetric, Scored

# Counts up whenever an answer is found equal that was not, or the reverse.
MATCHING_VERSION = "2"


def length(_context: MetricContext, _argument: str = "") -> RowMetric:
    """Make the mean length of the answers in words (runs of text between white space); an empty answer has 0."""
    return RowMetric(
        function=lambda row: len(row.answer.split()),
        name="length",
        label="length",
        unit="words",
        direction=Direction.NONE,
        version="words between white space",
    )


def exact_match(_context: MetricContext, _argument: str = "") -> RowMetric:
    """Make the percentage of answers equal to the expected one, but for case, punctuation, articles and white space."""
    return RowMetric(
        function=lambda row: _compared(row, same(row.answer, row.expected)),
        name="exact-match",
        label="exact match",
        unit="%",
        kind=Kind.PROPORTION,
        version=MATCHING_VERSION,
        needs=("expected",),
    )


def extracted_match(_context: MetricContext, _argument: str = "") -> RowMetric:
    """Make the percentage of answers whose final answer equals the expected one's (`broker.evaluation.finals`)."""
    return RowMetric(
        function=lambda row: _compared(row, agree(row.answer, row.expected)),
        name="extracted-match",
        label="extracted answer",
        unit="%",
        kind=Kind.PROPORTION,
        version=MATCHING_VERSION,
        needs=("expected",),
    )


def _compared(row: Scored, equal: bool) -> bool | None:
    return equal if row.expected.strip() else None
