"""Who is best, who cannot be told from whom, and what the number of prompts could have shown.

Each model is compared with its own base (under every prompt policy the base was asked with) and with the best one, on
the same prompts; Holm over those. The letters need every pair: up to `MOST_LETTERED` models the remaining pairs are
tested as well, with a Holm of their own, so that a letter never contradicts a comparison with the best. With
`all_pairs` it is one family of all pairs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import median
from typing import TYPE_CHECKING, Protocol

from broker.evaluation.letters import compact_letters
from broker.evaluation.metrics import Direction, Kind
from broker.evaluation.power import detectable_mean, detectable_proportion
from broker.evaluation.shares import compare_results
from broker.evaluation.statistics import ALPHA, holm
from broker.results.values import Cell, Column, Comparison, Detectable, ResultRow

if TYPE_CHECKING:
    from broker.evaluation.record import MetricResult
    from broker.evaluation.statistics import PairTest

MOST_LETTERED = 12
REFERENCE_N = 1000

Pair = tuple[str, str]


class PairTester(Protocol):
    """Compares two models in one metric, as `compare_results` does."""

    def __call__(self, left: MetricResult, right: MetricResult, *, interval: bool = True) -> PairTest:
        """Compare them."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """What was found about one metric.

    Attributes:
        best: Key of the row with the best estimate (of several, the first); None when no way is better or nothing can
            be compared.
        estimate: The best estimate.
        level: All rows have it.
        comparisons: All pairs tested.
        letters: By row key; empty when not computed.
        detectable: What could have been seen; None without comparisons.
    """

    best: str | None = None
    estimate: float | None = None
    level: bool = False
    comparisons: tuple[Comparison, ...] = ()
    letters: Mapping[str, str] | None = None
    detectable: Detectable | None = None


def rank(
    column: Column,
    rows: Sequence[ResultRow],
    results: Mapping[str, MetricResult],
    *,
    all_pairs: bool = False,
    test: PairTester = compare_results,
) -> Ranking:
    """Compare the rows of a table in one metric.

    Args:
        column: The metric.
        rows: The table's rows; only those in `results` with a value take part.
        results: The metric's values by row key, all on the same prompts.
        all_pairs: Test every pair in one family.
        test: Compares two models; one that remembers saves time.
    """
    plan = plan_of(column, rows, results, all_pairs=all_pairs)
    ranked, best, others = plan.ranked, plan.best, dict.fromkeys(plan.others, "other")
    if all_pairs:
        found = _family(test, column, results, {**plan.wanted, **others}, interval=True)
    else:
        found = _family(test, column, results, plan.wanted, interval=True)
        found += _family(test, column, results, others, interval=False)
    apart = [(one.left, one.right) for one in found if one.different]
    return Ranking(
        best=best,
        estimate=results[best].value if best is not None else None,
        level=len({results[key].value for key in ranked}) == 1,
        comparisons=tuple(found),
        letters=compact_letters(ranked, apart) if plan.lettered else None,
        detectable=_detectable(column, found, best),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Which pairs are to be compared in one metric.

    Attributes:
        ranked: Keys of the rows with a value, best first.
        best: As in `Ranking`.
        wanted: The pairs that are always tested, with what each is against.
        others: The pairs tested besides.
        lettered: Whether there will be letters.
    """

    ranked: Sequence[str]
    best: str | None
    wanted: Mapping[Pair, str]
    others: Sequence[Pair]
    lettered: bool

    @property
    def tests(self) -> int:
        """Return how many pairs that are."""
        return len(self.wanted) + len(self.others)


def plan_of(
    column: Column, rows: Sequence[ResultRow], results: Mapping[str, MetricResult], *, all_pairs: bool = False
) -> Plan:
    """Say which pairs `rank` compares; arguments as there."""
    ranked = _ranked(column, rows, results)
    best = ranked[0] if column.direction is not Direction.NONE and len(ranked) > 1 else None
    lettered = best is not None and (all_pairs or len(ranked) <= MOST_LETTERED)
    wanted = _wanted(rows, ranked, best)
    known = {frozenset(pair) for pair in wanted}
    others = [pair for pair in combinations(ranked, 2) if frozenset(pair) not in known] if all_pairs or lettered else []
    return Plan(ranked=ranked, best=best, wanted=wanted, others=others, lettered=lettered)


def marked(row: ResultRow, column: Column, ranking: Ranking) -> ResultRow:
    """Return the row with its marks: best, tied with the best, letters."""
    cell = row.cells.get(column.name)
    if cell is None or cell.value is None or ranking.best is None:
        return row
    with_best = [
        one for one in ranking.comparisons if {one.left, one.right} == {row.key, ranking.best} and one.left != one.right
    ]
    # Where all estimates are the same, none is the best; where some are, the star is not the first one's alone.
    best = cell.value == ranking.estimate and not ranking.level
    cell = replace(
        cell,
        best=best,
        tied=not best and (row.key == ranking.best or (bool(with_best) and not with_best[0].different)),
        letters=(ranking.letters or {}).get(row.key, ""),
    )
    cells: dict[str, Cell] = {**row.cells, column.name: cell}
    return replace(row, cells=cells)


def _ranked(column: Column, rows: Sequence[ResultRow], results: Mapping[str, MetricResult]) -> list[str]:
    """Return the keys of the rows with a value, best first; equal ones in the table's order."""
    sign = 1 if column.direction is Direction.LOWER else -1
    values = {row.key: value for row in rows if row.key in results and (value := results[row.key].value) is not None}
    return sorted(values, key=lambda key: sign * values[key])


def _wanted(rows: Sequence[ResultRow], ranked: Sequence[str], best: str | None) -> dict[Pair, str]:
    """Return the pairs to test always, with what each is against; a pair that is both counts once, as `base`."""
    pairs: dict[Pair, str] = {}
    for row in rows:
        for base in row.bases:
            if row.key in ranked and base in ranked:
                pairs[row.key, base] = "base"
    if best is not None:
        for key in ranked:
            if key != best and (key, best) not in pairs and (best, key) not in pairs:
                pairs[key, best] = "best"
    return pairs


def _family(
    test: PairTester, column: Column, results: Mapping[str, MetricResult], pairs: Mapping[Pair, str], *, interval: bool
) -> list[Comparison]:
    """Test pairs and adjust their p values together."""
    tests = [test(results[left], results[right], interval=interval) for left, right in pairs]
    adjusted = holm([each.p for each in tests])
    return [
        Comparison(
            metric=column.name,
            left=left,
            right=right,
            against=against,
            n=each.n,
            difference=each.difference,
            low=each.low,
            high=each.high,
            p=each.p,
            p_adjusted=p,
            different=p < ALPHA,
            effect=each.effect,
            spread=each.spread,
            detectable=None if each.spread is None else smallest(column.kind, each.n, each.spread),
            method=each.method,
        )
        for ((left, right), against), each, p in zip(pairs.items(), tests, adjusted, strict=True)
    ]


def smallest(kind: Kind, n: int, spread: float) -> float | None:
    """Return the smallest true difference that a single comparison of n prompts finds in four of five cases.

    Args:
        kind: Proportion or mean.
        n: Prompts.
        spread: As `PairTest.spread`.

    Returns:
        None when no difference can be found with so few prompts, or when the differences of means show no spread.
    """
    if kind is Kind.PROPORTION:
        return detectable_proportion(n, spread)
    return detectable_mean(n, spread) if spread else None


def _detectable(column: Column, found: Sequence[Comparison], best: str | None) -> Detectable | None:
    """Return what could have been seen between the best model and those it is not told apart from.

    The spread is the median over these comparisons; where nothing ties with the best, over all comparisons with it;
    where no way is better, over all.
    """
    pairs = [one for one in found if best is None or best in (one.left, one.right)]
    pairs = [one for one in pairs if not one.different] or pairs
    # Means that never differ, or always by the same, say nothing about the spread of others.
    pairs = [one for one in pairs if one.spread is not None and (one.spread or column.kind is Kind.PROPORTION)]
    spreads = [one.spread for one in pairs if one.spread is not None]
    if not spreads:
        return None
    n, spread = min(one.n for one in pairs), median(spreads)
    return Detectable(
        metric=column.name,
        n=n,
        now=smallest(column.kind, n, spread),
        with_1000=smallest(column.kind, REFERENCE_N, spread),
    )
