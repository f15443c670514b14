"""Two models on the same prompts: every metric with its difference, interval, test and effect, and where they part.

Holm's correction goes over the metrics shown: whoever looks at six metrics finds one in twenty by chance in six places.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import sqrt
from typing import TYPE_CHECKING, Any

from broker.evaluation.metrics import Direction, Kind
from broker.evaluation.record import MetricResult
from broker.evaluation.shares import compare_results
from broker.evaluation.statistics import ALPHA, PairTest, holm
from broker.results.holding import GateResult
from broker.results.ranking import smallest
from broker.results.values import Column, ResultRow

if TYPE_CHECKING:
    from broker.results.roster import Roster

# Cohen's words (1988) for h and d alike: from here on small, medium, large.
_EFFECTS = ((0.8, "large"), (0.5, "medium"), (0.2, "small"))


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricPair:
    """One metric of two models.

    Attributes:
        column: The metric.
        left: Numbers of A over all its rows; None when there are none.
        right: Numbers of B.
        test: The comparison on the prompts that have both values; None when there is none.
        p_adjusted: After Holm over the metrics shown.
        detectable: The smallest true difference that this comparison finds in four of five cases; None when no
            difference can be found, or when nothing is known of the spread.
        reason: Why there is no comparison.
    """

    column: Column
    left: MetricResult | None
    right: MetricResult | None
    test: PairTest | None = None
    p_adjusted: float = 1.0
    detectable: float | None = None
    reason: str = ""

    @property
    def different(self) -> bool:
        """Say whether the two were told apart."""
        return self.test is not None and self.p_adjusted < ALPHA

    @property
    def verdict(self) -> str:
        """Return who is better, `tie`, or why nobody knows."""
        if self.test is None or self.test.difference is None:
            return "not compared"
        if not self.different:
            return "tie"
        more = "A" if self.test.difference > 0 else "B"
        if self.column.direction is Direction.NONE:
            return f"{more} higher"
        higher = self.column.direction is Direction.HIGHER
        return f"{more if higher else {'A': 'B', 'B': 'A'}[more]} better"

    @property
    def effect_size(self) -> str:
        """Return Cohen's word for the effect; empty when there is none to name."""
        effect = self.test.effect if self.test is not None else None
        if effect is None:
            return ""
        return next((word for least, word in _EFFECTS if abs(effect) >= least), "negligible")


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A prompt with both answers.

    Attributes:
        place: Of the prompt in the validation set, from 1.
        prompt: What was asked, without system messages.
        expected: The expected answer.
        left: A's answer.
        right: B's answer.
        values: By metric: A's value and B's.
    """

    place: int
    prompt: str
    expected: str
    left: str
    right: str
    values: Mapping[str, tuple[float | None, float | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PairReport:
    """What `broker compare` shows.

    Attributes:
        experiment: Of A.
        left: A.
        right: B; None when only gates were held.
        metrics: The metrics shown.
        examples: Where they part most.
        gates: How the gates were held.
        conditions: What holds for both: validation set and hash, prompts, decoding; policies by side.
        warnings: What a reader must not miss.
    """

    experiment: str
    left: ResultRow
    right: ResultRow | None
    metrics: tuple[MetricPair, ...] = ()
    examples: tuple[Example, ...] = ()
    gates: tuple[GateResult, ...] = ()
    conditions: Mapping[str, Any] = field(default_factory=dict[str, Any])
    warnings: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Say whether every gate holds."""
        return all(gate.passed for gate in self.gates)

    def __str__(self) -> str:
        """Return the report as text without colours."""
        from broker.results.pairtext import as_text

        return as_text(self)


def compare_rows(
    roster: Roster, left: ResultRow, right: ResultRow, metrics: Sequence[str] | None = None
) -> tuple[MetricPair, ...]:
    """Compare two rows in every metric, or in those named.

    Args:
        roster: Holds their numbers.
        left: A.
        right: B.
        metrics: Names of metrics.

    Raises:
        UnknownNameError: Nobody was judged by a metric.
        UserError: They did not answer the same questions.
    """
    roster.require_alike(left, right)
    columns = [roster.column(name) for name in metrics] if metrics else list(roster.columns)
    pairs = [_pair(roster, left, right, column) for column in dict.fromkeys(columns)]
    adjusted = iter(holm([pair.test.p for pair in pairs if pair.test is not None]))
    return tuple(replace(pair, p_adjusted=next(adjusted)) if pair.test is not None else pair for pair in pairs)


def _pair(roster: Roster, left: ResultRow, right: ResultRow, column: Column) -> MetricPair:
    one, other = roster.scored(left, column), roster.scored(right, column)
    why = [roster.why_unscored(row, column) for row, found in ((left, one), (right, other)) if found is None]
    why += roster.unlike(left, right, column)
    if one is None or other is None or why:
        return MetricPair(column=column, left=one, right=other, reason="; ".join(why))
    test = compare_results(one, other)
    if test.n == 0:
        return MetricPair(column=column, left=one, right=other, reason="no prompt has a value of both")
    least = None if test.spread is None else smallest(column.kind, test.n, test.spread)
    return MetricPair(column=column, left=one, right=other, test=test, detectable=least)


def most_different(pairs: Sequence[MetricPair], count: int) -> list[int]:
    """Return the places (from 0) of the prompts on which two models differ most.

    A prompt's distance is the sum, over the compared metrics where a way is better, of the absolute difference in units
    of the standard deviation of that metric's differences (of the root of the share that differs, for a proportion).

    Args:
        pairs: The metrics compared.
        count: How many at most; prompts that do not differ are left out.
    """
    distances: dict[int, float] = {}
    for pair in pairs:
        if pair.left is None or pair.right is None or not pair.test or pair.column.direction is Direction.NONE:
            continue
        spread = pair.test.spread or 1.0
        scale = sqrt(spread) if pair.column.kind is Kind.PROPORTION else spread
        for place, (a, b) in enumerate(zip(pair.left.values, pair.right.values, strict=True)):
            if a is not None and b is not None:
                distances[place] = distances.get(place, 0.0) + abs(a - b) / scale
    parted = [place for place, distance in distances.items() if distance > 0]
    return sorted(parted, key=lambda place: (-distances[place], place))[: max(count, 0)]


def warnings_of(roster: Roster, pairs: Sequence[MetricPair], rows: Sequence[ResultRow]) -> list[str]:
    """Return what a reader of a comparison must not miss.

    Args:
        roster: Holds the results.
        pairs: The metrics compared.
        rows: The rows compared.
    """
    told = [f"{row.label}: {row.failed} of {row.n} prompts have no answer" for row in rows if row.failed]
    told += [f"{pair.column.name} is not compared: {pair.reason}" for pair in pairs if pair.reason]
    fewer: dict[tuple[int, int], list[str]] = {}
    for pair in pairs:
        whole = max((len(found.values) for found in (pair.left, pair.right) if found is not None), default=0)
        if pair.test is not None and pair.test.n < whole:
            fewer.setdefault((pair.test.n, whole), []).append(pair.column.name)
    for (n, whole), names in fewer.items():
        are = "is" if len(names) == 1 else "are"
        told.append(f"{', '.join(names)} {are} compared on the {n:,} of {whole:,} prompts with both values")
    if len(rows) > 1 and len({row.key for row in rows}) == 1:
        told.append("A and B are the same row of the table: this says nothing about any model")
    policies = [row.policy for row in rows]
    if len(set(policies)) > 1:
        told.append(f"they were asked under different system messages: {' and '.join(policies)}")
    return told
