"""The parts of a number: one line for each kind of thing that a metric looks at, one column for each model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from broker.results.values import ResultRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker.results.values import ResultsTable

TOTAL = "total"
Counts = dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakdown:
    """The parts of one metric, or of several that share them (as IFEval's four numbers do).

    Attributes:
        title: What they are parts of.
        passed: Names of the counts, such as strict and loose.
        totals: How often each part occurs, by its name.
        models: The rows that have parts.
        counts: By row key and part; a model may lack a part.
    """

    title: str
    passed: tuple[str, ...]
    totals: Mapping[str, int]
    models: tuple[ResultRow, ...]
    counts: Mapping[str, Mapping[str, Counts]]

    def words(self, key: str, part: str) -> str:
        """Return `60 / 62`, with its own total where some rows of this model have no verdict."""
        counts = self.counts[key].get(part)
        if counts is None:
            return "–"
        own = f" of {counts[TOTAL]}" if counts[TOTAL] != self.totals[part] else ""
        return " / ".join(str(counts.get(name, 0)) for name in self.passed) + own

    def share(self, key: str, part: str) -> float | None:
        """Return the share of the first count, 0 to 1; None where a model lacks the part."""
        counts = self.counts[key].get(part)
        if counts is None or not counts[TOTAL]:
            return None
        return counts.get(self.passed[0], 0) / counts[TOTAL] if self.passed else None


def breakdowns(table: ResultsTable) -> list[Breakdown]:
    """Return the parts of a table's numbers; metrics with the same parts share them."""
    found: list[Breakdown] = []
    seen: list[dict[str, dict[str, Counts]]] = []
    for column in table.columns:
        cells = {row.key: row.cells[column.name].breakdown for row in table.rows if column.name in row.cells}
        parts = {key: _plain(breakdown) for key, breakdown in cells.items() if breakdown}
        if parts and parts not in seen:
            seen.append(parts)
            found.append(_breakdown(column.name.partition(":")[0], table.rows, parts))
    return found


def breakdown_tables(table: ResultsTable) -> list[Table]:
    """Return a table for a terminal for each breakdown."""
    return [_table(found) for found in breakdowns(table)]


def _plain(breakdown: Mapping[str, Mapping[str, int]]) -> dict[str, Counts]:
    return {name: dict(counts) for name, counts in breakdown.items()}


def _breakdown(title: str, rows: Sequence[ResultRow], parts: Mapping[str, Mapping[str, Counts]]) -> Breakdown:
    names = list(dict.fromkeys(name for breakdown in parts.values() for name in breakdown))
    first = next(iter(next(iter(parts.values())).values()))
    return Breakdown(
        title=title,
        passed=tuple(name for name in first if name != TOTAL),
        totals={
            name: max(breakdown[name][TOTAL] for breakdown in parts.values() if name in breakdown) for name in names
        },
        models=tuple(row for row in rows if row.key in parts),
        counts=parts,
    )


def _table(found: Breakdown) -> Table:
    title = f"{found.title}: {' / '.join(found.passed)}, by part"
    shown = Table(title=Text(title), title_justify="left", box=SIMPLE_HEAD)
    shown.add_column("part", overflow="fold")
    shown.add_column("of", justify="right")
    for row in found.models:
        shown.add_column(Text(row.label), justify="right", overflow="fold")
    for part, total in found.totals.items():
        shown.add_row(Text(part), str(total), *(found.words(row.key, part) for row in found.models))
    return shown
