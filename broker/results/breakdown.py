"""The parts of a number: one line for each kind of thing that a metric looks at, one column for each model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from broker.results.values import ResultRow, ResultsTable

TOTAL = "total"
Breakdown = dict[str, dict[str, int]]


def breakdown_tables(table: ResultsTable) -> list[Table]:
    """Return a table for each breakdown; metrics that share their parts (as IFEval's four numbers do) share one."""
    shown: list[Table] = []
    seen: list[dict[str, Breakdown]] = []
    for column in table.columns:
        found = {row.key: _plain(row.cells[column.name].breakdown) for row in table.rows if column.name in row.cells}
        parts = {key: breakdown for key, breakdown in found.items() if breakdown}
        if parts and parts not in seen:
            seen.append(parts)
            shown.append(_table(column.name.partition(":")[0], table.rows, parts))
    return shown


def _plain(breakdown: Mapping[str, Mapping[str, int]]) -> Breakdown:
    return {name: dict(counts) for name, counts in breakdown.items()}


def _table(title: str, rows: Sequence[ResultRow], parts: Mapping[str, Breakdown]) -> Table:
    names = list(dict.fromkeys(name for breakdown in parts.values() for name in breakdown))
    passed = [name for name in next(iter(next(iter(parts.values())).values())) if name != TOTAL]
    totals = {name: max(breakdown[name][TOTAL] for breakdown in parts.values() if name in breakdown) for name in names}
    shown = Table(title=f"{title}: {' / '.join(passed)}, by part", title_justify="left", box=SIMPLE_HEAD)
    shown.add_column("part")
    shown.add_column("of", justify="right")
    models = [row for row in rows if row.key in parts]
    for row in models:
        shown.add_column(row.label, justify="right")
    for name in names:
        cells = [_cell(parts[row.key].get(name), passed, totals[name]) for row in models]
        shown.add_row(name, str(totals[name]), *cells)
    return shown


def _cell(counts: Mapping[str, int] | None, passed: Sequence[str], total: int) -> str:
    """Return `60 / 62`, with its own total where some rows of this model have no verdict."""
    if counts is None:
        return "–"
    own = f" of {counts[TOTAL]}" if counts[TOTAL] != total else ""
    return " / ".join(str(counts.get(name, 0)) for name in passed) + own
