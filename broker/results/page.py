"""The table as a small, self-contained piece of HTML for notebooks and pages: no script, no network, text escaped."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from broker.results import wording
from broker.results.values import Cell, Column, ResultRow, ResultsTable

if TYPE_CHECKING:
    from collections.abc import Iterable

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
    policies = len({row.policy for row in table.rows}) > 1
    texts = ["model", "method", "provider", "precision", *(["prompt"] if policies else [])]
    heads = [f'<th class="t" scope="col">{text}</th>' for text in texts]
    heads += [f'<th scope="col">{text}</th>' for text in ("rows", "n")]
    heads += [_head(column) for column in table.columns]
    heads += [f'<th scope="col">{text}</th>' for text in ("training", "cost")]
    body = [_row(table, i, policies=policies) for i in range(len(table.rows))]
    warned = _lines("warn", ("! " + line for line in table.warnings))
    noted = _lines("note", table.notes)
    return (
        f'<div class="broker-results"><style>{_STYLE}</style><table>'
        f"<caption>Results of {escape(table.experiment)}</caption>"
        f"<thead><tr>{''.join(heads)}</tr></thead><tbody>{''.join(body)}</tbody></table>{warned}{noted}</div>"
    )


def _head(column: Column) -> str:
    name, *rest = wording.head(column)
    return f'<th scope="col">{escape(name)}' + "".join(f"<small>{escape(part)}</small>" for part in rest) + "</th>"


def _row(table: ResultsTable, index: int, *, policies: bool) -> str:
    row = table.rows[index]
    first = index > 0 and table.rows[index - 1].kind != row.kind
    texts = [
        row.method or row.kind,
        row.provider,
        row.precision or wording.NOTHING,
        *([row.policy] if policies else []),
    ]
    cells = [_model(row), *(f'<td class="t">{escape(text)}</td>' for text in texts)]
    cells += [_number(wording.count(row.rows_trained)), _number(wording.asked(row))]
    cells += [_cell(column, row.cells.get(column.name, Cell())) for column in table.columns]
    cells += [_number(wording.duration(row.train_s)), _number(wording.money(row.cost_usd))]
    opening = '<tr class="first">' if first else "<tr>"
    return f"{opening}{''.join(cells)}</tr>"


def _model(row: ResultRow) -> str:
    status = "" if row.done else f"<small>{escape(wording.status(row))}</small>"
    return f'<td class="t m">{escape(row.label)}{status}</td>'


def _number(text: str) -> str:
    return f"<td>{escape(text)}</td>"


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
