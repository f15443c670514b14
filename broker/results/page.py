"""The table as a small, self-contained piece of HTML for notebooks and pages: no script, no network, text escaped."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from broker.results import wording
from broker.results.export import hash_lines
from broker.results.fields import usual
from broker.results.values import Cell, Column, ResultRow, ResultsTable, Section

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from broker.results.fields import Field

# `color-scheme` and `currentColor` follow the page around, light or dark.
_STYLE = """
.broker-results{font:14px/1.4 system-ui,sans-serif;max-width:100%;overflow-x:auto;color-scheme:light dark}
.broker-results table{border-collapse:collapse;font-variant-numeric:tabular-nums}
.broker-results caption{text-align:left;font-weight:600;padding:0 0 .5em}
.broker-results th,.broker-results td{padding:.3em .7em;text-align:right;vertical-align:top;white-space:nowrap}
.broker-results th{border-bottom:1px solid currentColor;font-weight:600}
.broker-results th.t,.broker-results td.t{text-align:left}
.broker-results td.m{white-space:normal;min-width:10em}
.broker-results tr.first td{border-top:1px solid color-mix(in srgb,currentColor 40%,transparent)}
.broker-results small{display:block;opacity:.7;font-size:.85em;font-weight:400}
.broker-results .best{font-weight:700}
.broker-results .warn{font-weight:600;margin:.4em 0 0}
.broker-results .note{opacity:.75;font-size:.85em;margin:.2em 0 0;max-width:70em}
"""


def to_html(table: ResultsTable) -> str:
    """Return the table as one `div` with its style.

    Args:
        table: What to show.
    """
    shown = usual(table)
    heads = '<th class="t" scope="col">model</th>' + "".join(_head(field) for field in shown)
    body = "".join(
        _section(section, shown, apart=not table.arrangement.sort)
        for section in table.sections or (Section(title="", rows=table.rows),)
    )
    warned = _lines("warn", ("! " + line for line in table.warnings))
    noted = _lines("note", (*table.notes, *hash_lines(table)))
    return (
        f'<div class="broker-results"><style>{_STYLE}</style><table>'
        f"<caption>Results of {escape(table.experiment)}</caption>"
        f"<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>{warned}{noted}</div>"
    )


def _head(field: Field) -> str:
    kind = "" if field.numeric else ' class="t"'
    name, *rest = wording.head(field.column) if field.column else [field.name.replace("_", " ")]
    small = "".join(f"<small>{escape(part)}</small>" for part in rest)
    return f'<th{kind} scope="col">{escape(name)}{small}</th>'


def _section(section: Section, shown: Sequence[Field], *, apart: bool) -> str:
    """Return the rows of a group under its head; without a head, bases stand apart from tuned models."""
    rows: list[str] = []
    if section.title:
        rows.append(f'<tr><th class="t" colspan="{len(shown) + 1}">{escape(section.title)}</th></tr>')
    for i, row in enumerate(section.rows):
        first = apart and not section.title and i > 0 and section.rows[i - 1].kind != row.kind
        cells = "".join(_field(field, row) for field in shown)
        opening = '<tr class="first">' if first else "<tr>"
        rows.append(f"{opening}{_model(row)}{cells}</tr>")
    return "".join(rows)


def _field(field: Field, row: ResultRow) -> str:
    if field.column is not None:
        return _cell(field.column, row.cells.get(field.name, Cell()))
    kind = "" if field.numeric else ' class="t"'
    return f"<td{kind}>{escape(field.text(row))}</td>"


def _model(row: ResultRow) -> str:
    status = "" if row.done else f"<small>{escape(wording.status(row))}</small>"
    return f'<td class="t m">{escape(row.label)}{status}</td>'


def _cell(column: Column, cell: Cell) -> str:
    if cell.failure:
        return f'<td title="{escape(cell.failure)}">not computed</td>'
    shown = " ".join(part for part in (wording.number(column, cell.value), wording.marks(cell)) if part)
    ends = wording.interval(column, cell)
    small = f"<small>{escape(ends)}</small>" if ends else ""
    opening = '<td class="best">' if cell.best else "<td>"
    return f"{opening}{escape(shown)}{small}</td>"


def _lines(kind: str, texts: Iterable[str]) -> str:
    return "".join(f'<p class="{kind}">{escape(text)}</p>' for text in texts)
