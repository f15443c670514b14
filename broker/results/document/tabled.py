"""The table on the page: sorted by a click, with the interval of each number drawn beneath it."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from broker.results import wording
from broker.results.fields import usual
from broker.results.values import Cell, Column, ResultRow, ResultsTable, Section

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from broker.results.fields import Field
    from broker.results.report import Report


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scale:
    """What the numbers of a column are drawn on.

    Attributes:
        low: The least low end.
        high: The greatest high end.
        starred: The column has a best number. Where all are equal a colour for ties would only draw the eye.
    """

    low: float = 0.0
    high: float = 0.0
    starred: bool = False


# With fewer rows than these one sees them all at once.
_SEARCHED = 9
# In a narrow window these stand under the model's name.
_MINOR = frozenset({"method", "provider", "precision", "prompt", "rows", "n"})


def table_section(report: Report) -> str:
    """Return the table, with what helps to read it."""
    table = report.table
    shown = usual(table)
    scales = {field.name: _scale(table, field.column) for field in shown if field.column}
    minor = frozenset[str]() if table.arrangement.columns else _MINOR
    heads = _head("model", "text") + "".join(_field_head(field, minor) for field in shown)
    bodies = "".join(
        _body(section, shown, scales, minor, apart=not (table.sections or table.arrangement.sort))
        for section in table.sections or (Section(title="", rows=table.rows),)
    )
    search = (
        '<p class="tools" hidden><input type="search" id="models" placeholder="find a model" aria-label="Find a model">'
        "</p>"
        if len(table.rows) >= _SEARCHED
        else ""
    )
    legend = (
        '<p class="muted">A bar shows where the 95 % interval lies among those of its column. Click a head to sort.</p>'
        if scales
        else ""
    )
    return (
        f'{search}<div class="scroll" tabindex="0" role="region" aria-label="Table of models"><table id="results">'
        f"<thead><tr>{heads}</tr></thead>{bodies}</table></div>{legend}"
    )


def _head(words: str, kind: str, more: str = "", *, first: str = "asc") -> str:
    small = f"<small>{escape(more)}</small>" if more else ""
    button = f'<button type="button">{escape(words)}{small}</button>'
    return f'<th scope="col" class="{kind}" data-first="{first}">{button}</th>'


def _field_head(field: Field, minor: frozenset[str]) -> str:
    first = "desc" if field.descending else "asc"
    if field.column is None:
        return _head(field.name.replace("_", " "), _kind(field, minor), first=first)
    name, *rest = wording.head(field.column)
    return _head(name, "number", ", ".join(rest), first=first)


def _kind(field: Field, minor: frozenset[str]) -> str:
    return ("number" if field.numeric else "text") + (" minor" if field.name in minor else "")


def _scale(table: ResultsTable, column: Column) -> _Scale:
    cells = [row.cells.get(column.name, Cell()) for row in (*table.rows, *table.hidden)]
    starred = any(cell.best for cell in cells)
    ends = [end for cell in cells[: len(table.rows)] for end in (cell.low, cell.value, cell.high) if end is not None]
    return _Scale(low=min(ends), high=max(ends), starred=starred) if ends else _Scale(starred=starred)


def _body(
    section: Section, shown: Sequence[Field], scales: Mapping[str, _Scale], minor: frozenset[str], *, apart: bool
) -> str:
    head = ""
    if section.title:
        head = f'<tr class="group"><th colspan="{len(shown) + 1}" scope="rowgroup">{escape(section.title)}</th></tr>'
    rows: list[str] = []
    for i, row in enumerate(section.rows):
        first = apart and i > 0 and section.rows[i - 1].kind != row.kind
        cells = "".join(_cell(field, row, scales, minor) for field in shown)
        brief = " · ".join(text for field in shown if field.name in minor and (text := _brief(field, row)))
        rows.append(f'<tr class="{row.kind}{" first" if first else ""}">{_model(row, brief)}{cells}</tr>')
    return f"<tbody>{head}{''.join(rows)}</tbody>"


def _brief(field: Field, row: ResultRow) -> str:
    """Return what stands under the model's name where there is no room for the column."""
    text = field.text(row)
    if text == wording.NOTHING:
        return ""
    return f"n {text}" if field.name == "n" else f"{text} {field.name}" if field.numeric else text


def _model(row: ResultRow, brief: str) -> str:
    status = "" if row.done else f'<small class="state">{escape(wording.status(row))}</small>'
    told = " · ".join(f"{name} {value}" for name, value in row.parameters.items())
    title = f' title="{escape(told)}"' if told else ""
    small = f'<small class="brief">{escape(brief)}</small>' if brief else ""
    return f'<th scope="row" class="text" data-v="{escape(row.label)}"{title}>{escape(row.label)}{small}{status}</th>'


def _cell(field: Field, row: ResultRow, scales: Mapping[str, _Scale], minor: frozenset[str]) -> str:
    value = field.value(row)
    data = "" if value is None else escape(f"{value}")
    if field.column is None:
        return f'<td class="{_kind(field, minor)}" data-v="{data}">{escape(field.text(row))}</td>'
    return _metric(field.column, row.cells.get(field.name, Cell()), data, scales[field.name])


def _metric(column: Column, cell: Cell, data: str, scale: _Scale) -> str:
    if cell.failure:
        return f'<td class="number failed" data-v="" title="{escape(cell.failure)}">not computed</td>'
    sign = '<span class="sign" title="the best">★</span>' if cell.best else ""
    sign = sign or ('<span class="sign" title="not told apart from the best">=</span>' if cell.tied else "")
    letters = f'<span class="letters">{escape(cell.letters)}</span>' if cell.letters else ""
    ends = wording.interval(column, cell)
    small = f"<small>{escape(ends)}</small>{_interval(cell, scale)}" if ends else ""
    kind = " best" if cell.best else " tied" if cell.tied and scale.starred else ""
    number = escape(wording.number(column, cell.value))
    return f'<td class="number metric{kind}" data-v="{data}"><b>{number}</b>{sign}{letters}{small}</td>'


def _interval(cell: Cell, scale: _Scale) -> str:
    low, high = scale.low, scale.high
    if cell.low is None or cell.high is None or cell.value is None or high <= low:
        return ""
    start, middle, end = (100 * (each - low) / (high - low) for each in (cell.low, cell.value, cell.high))
    return f'<i class="ci" style="--a:{start:.1f}%;--m:{middle:.1f}%;--b:{100 - end:.1f}%" aria-hidden="true"></i>'
