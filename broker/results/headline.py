"""What one wants to know first: which model is best, by how much over its base, for how much money and time."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from broker.results import wording
from broker.results.figures.making import main_metric
from broker.results.figures.words import p_words

if TYPE_CHECKING:
    from broker.results.values import Column, ResultRow, ResultsTable


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One fact of a table.

    Attributes:
        name: What it is about.
        value: The fact.
        more: What belongs to it.
    """

    name: str
    value: str
    more: str = ""


def headline(table: ResultsTable) -> list[Fact]:
    """Return the first facts of a table; those that it cannot tell are left out.

    Args:
        table: Marks and comparisons are those of all its rows, whatever is shown.
    """
    column, rows = main_metric(table), (*table.rows, *table.hidden)
    facts: list[Fact] = []
    best = _first(table, column, rows) if column is not None else None
    if column is not None and best is not None:
        facts.append(_best(column, best, rows))
        facts += _gain(table, column, best)
    facts += _effort(rows, sum(one.usd for one in table.expenses))
    asked = [row.n for row in rows if row.n is not None]
    if asked:
        name = table.conditions.get("validation")
        facts.append(
            Fact(name="judged on", value=f"{max(asked):,} prompts", more=name if isinstance(name, str) else "")
        )
    return facts


def _first(table: ResultsTable, column: Column, rows: tuple[ResultRow, ...]) -> ResultRow | None:
    """Return the best model; of several with the same number, the one that all others were compared with."""
    held = Counter(one.right for one in table.comparisons if one.metric == column.name)
    starred = [row for row in rows if (cell := row.cells.get(column.name)) is not None and cell.best]
    return max(starred, key=lambda row: (held[row.key], row.key), default=None)


def _best(column: Column, best: ResultRow, rows: tuple[ResultRow, ...]) -> Fact:
    cell = best.cells[column.name]
    unit = f" {column.unit}" if column.unit else ""
    others = [row.cells[column.name] for row in rows if row is not best and column.name in row.cells]
    ties = [other for other in others if other.tied or other.best]
    told = f"{wording.number(column, cell.value)}{unit} {wording.interval(column, cell)}"
    tied = f"; {len(ties)} other {'ties' if len(ties) == 1 else 'models tie'} with it" if ties else ""
    return Fact(name=f"best by {wording.head(column)[0]}", value=best.label, more=told + tied)


def _gain(table: ResultsTable, column: Column, best: ResultRow) -> list[Fact]:
    """Return how far the best is from its own base."""
    found = next(
        (
            one
            for one in table.comparisons
            if one.metric == column.name and one.left == best.key and one.right in best.bases
        ),
        None,
    )
    if found is None or found.difference is None:
        return []
    sign = "+" if found.difference > 0 else "−" if found.difference < 0 else ""
    ends = ""
    if found.low is not None and found.high is not None:
        ends = f"[{wording.number(column, found.low)}, {wording.number(column, found.high)}], "
    value = f"{sign}{wording.difference(column, found.difference)}" if found.different else "a tie"
    return [Fact(name="over its base", value=value, more=f"{ends}{p_words(found.p_adjusted)}")]


def _effort(rows: tuple[ResultRow, ...], beside_usd: float) -> list[Fact]:
    """Return what was paid and how long it took, of what is known."""
    paid = [part for row in rows for part in (row.train_cost_usd, row.eval_cost_usd) if part is not None]
    trained = [row.train_s for row in rows if row.train_s is not None]
    asked = [row.eval_s for row in rows if row.eval_s is not None]
    tuned = sum(row.kind == "tuned" for row in rows)
    counts = f"{tuned} tuned, {len(rows) - tuned} base"
    facts = [Fact(name="models", value=f"{len(rows)}", more=counts)]
    if paid or beside_usd:
        training = sum(row.train_cost_usd for row in rows if row.train_cost_usd is not None)
        parts = [f"training {wording.money(training)}"]
        parts += [f"judging pairs {wording.money(beside_usd)}"] if beside_usd else []
        facts.append(Fact(name="cost", value=wording.money(sum(paid) + beside_usd), more=", ".join(parts)))
    if trained or asked:
        more = f"training {wording.duration(sum(trained))}, answers {wording.duration(sum(asked))}"
        facts.append(Fact(name="work", value=wording.duration(sum(trained) + sum(asked)), more=more))
    return facts
