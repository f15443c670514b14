"""The metrics that rest on Flesch's reading ease."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.errors import Problem, SpecError
from broker.evaluation.flesch import flesch, flesch_version
from broker.evaluation.language import looks_english
from broker.evaluation.metrics import Direction, Kind, MetricContext, RowMetric, Scored

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# "A target Flesch reading-ease score of greater than or equal to 60" (arXiv 2507.04889, 3).
THRESHOLD = 60.0


def conversational(_context: MetricContext, argument: str = "") -> RowMetric:
    """Make the percentage of answers at or above a Flesch score.

    An answer without words is not conversational: it counts as 0, not as missing.

    Args:
        _context: Not used.
        argument: The threshold, as text; 60 when empty.

    Raises:
        SpecError: The threshold is not a number.
    """
    threshold = _threshold(argument)

    def passes(row: Scored) -> bool:
        score = flesch(row.answer)
        return score is not None and score >= threshold

    return RowMetric(
        function=passes,
        name="conversational" if threshold == THRESHOLD else f"conversational:{threshold:g}",
        label=f"conversational (Flesch ≥ {threshold:g})",
        unit="%",
        direction=Direction.HIGHER,
        kind=Kind.PROPORTION,
        version=flesch_version(),
        remark=english_only("Flesch scores"),
    )


def mean_flesch(_context: MetricContext, _argument: str = "") -> RowMetric:
    """Make the mean Flesch score; answers without words have none and are counted as not scored."""
    return RowMetric(
        function=lambda row: flesch(row.answer),
        name="flesch",
        label="Flesch",
        unit="",
        direction=Direction.HIGHER,
        kind=Kind.MEAN,
        version=flesch_version(),
        remark=english_only("Flesch scores"),
    )


def _threshold(argument: str) -> float:
    try:
        return float(argument) if argument else THRESHOLD
    except ValueError as error:
        problem = Problem(
            where=f"metric conversational:{argument}", what=f"{argument!r} is not a number", fix="conversational:70"
        )
        raise SpecError([problem]) from error


def english_only(scores: str) -> Callable[[Sequence[Scored]], list[str]]:
    """Return what warns about answers that do not look English.

    Args:
        scores: What they have, as in "Flesch scores are made for English text".
    """

    def remarks(rows: Sequence[Scored]) -> list[str]:
        foreign = sum(not looks_english(row.answer) for row in rows)
        if not foreign:
            return []
        return [f"{foreign} of {len(rows)} answers do not look English: {scores} are made for English text"]

    return remarks
