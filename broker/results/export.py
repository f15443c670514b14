"""The table for programs and documents: JSON, CSV, Markdown.

JSON, whose keys are stable (new ones may come):

```
{
  "format": 1,
  "experiment": "tone",
  "columns": [{"name", "label", "unit", "direction", "kind", "version", "mixed"}],
  "rows": [{
     "key", "label", "kind": "base"|"tuned", "provider", "model", "method", "precision", "policy", "rows_trained",
     "parameters": {}, "state", "stage", "detail", "n", "failed", "empty", "cut",
     "metrics": {NAME: {"value", "low", "high", "scored", "unscored", "best", "tied", "letters", "failure"}},
     "train_s", "eval_s", "tokens_per_s", "train_cost_usd", "eval_cost_usd", "cost_usd", "bases": [KEY],
     "tune_job", "evaluation_job"}],
  "comparisons": [{"metric", "left": KEY, "right": KEY, "against": "base"|"best"|"other", "n", "difference", "low",
     "high", "p", "p_adjusted", "different", "effect", "spread", "detectable", "method"}],
  "detectable": [{"metric", "n", "now", "with_1000"}],
  "preferences": [{"left": KEY, "right": KEY, "left_label", "right_label", "source": "people"|"judge", "by", "n",
     "wins", "losses", "ties", "win_rate", "low", "high", "p", "agreement", "alpha", "position_bias", "swaps", "flips",
     "unscored", "failures": {}, "cost_usd", "made_by": {}, "remarks": [], "panel": null|{"criterion", "voters",
     "votes", "left", "right", "ties", "skipped", "median_s", "share"|"first"|"easier"|"ease": {"value", "low", "high",
     "p", "n", "method"}, "left_out": {}, "helped", "stale"}}],
  "conditions": {}, "notes": [], "warnings": []
}
```

Numbers are in the unit of their column: percentages 0 to 100, their differences in points; the
shares of `preferences` are 0 to 1. `null` is "there is none".
"""

from __future__ import annotations

import csv
import json
from dataclasses import asdict
from io import StringIO
from typing import TYPE_CHECKING, Any

from broker.jobs.codec import dump
from broker.results import wording
from broker.results.values import Cell, Column, Comparison, Detectable, ResultRow, ResultsTable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker.evaluation.preference import PreferenceResult

FORMAT = 1
# A spreadsheet takes a cell that begins with one of these for a formula.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
_PLAIN = (
    "key",
    "label",
    "kind",
    "provider",
    "model",
    "method",
    "precision",
    "policy",
    "rows_trained",
    "state",
    "stage",
)
_COUNTS = ("detail", "n", "failed", "empty", "cut")
_ENDING = ("train_s", "eval_s", "tokens_per_s", "train_cost_usd", "eval_cost_usd", "cost_usd")


def to_data(table: ResultsTable) -> dict[str, Any]:
    """Return the table as plain data, in the form described above."""
    columns = {column.name: column for column in table.columns}
    kept = ("name", "label", "unit", "direction", "kind", "version", "mixed")
    return {
        "format": FORMAT,
        "experiment": table.experiment,
        "columns": [{name: dump(getattr(column, name)) for name in kept} for column in table.columns],
        "rows": [_row(row, columns) for row in table.rows],
        "comparisons": [_comparison(one, columns[one.metric]) for one in table.comparisons],
        "detectable": [_detectable(one, columns[one.metric]) for one in table.detectable],
        "preferences": [_preference(one) for one in table.preferences],
        "conditions": dump(dict(table.conditions)),
        "notes": list(table.notes),
        "warnings": list(table.warnings),
    }


def to_json(table: ResultsTable) -> str:
    """Return the table as JSON text without a trailing newline."""
    return json.dumps(to_data(table), ensure_ascii=False, indent=2, allow_nan=False)


def to_csv(table: ResultsTable) -> str:
    """Return one line per model, with columns NAME, NAME_low, NAME_high, NAME_best, NAME_letters per metric.

    Text that a spreadsheet would run as a formula gets a leading apostrophe.
    """
    file = StringIO()
    writer = csv.writer(file, lineterminator="\n")
    parts = ("", "_low", "_high", "_scored", "_best", "_tied", "_letters", "_failure")
    metrics = [safe(column.name + part) for column in table.columns for part in parts]
    writer.writerow([*_PLAIN, *_COUNTS, *metrics, *_ENDING])
    for row in table.rows:
        cells = [value for column in table.columns for value in _csv_cell(column, row.cells.get(column.name, Cell()))]
        values = [getattr(row, name) for name in (*_PLAIN, *_COUNTS)]
        writer.writerow([safe(value) for value in (*values, *cells, *(getattr(row, name) for name in _ENDING))])
    return file.getvalue()


def safe(value: object) -> object:
    """Return a CSV value that no spreadsheet takes for a formula; numbers stay numbers, None is empty."""
    if value is None:
        return ""
    if isinstance(value, str) and value.lstrip(" ").startswith(_FORMULA_STARTS):
        return f"'{value}"
    return value


def to_markdown(table: ResultsTable) -> str:
    """Return the table as GitHub's Markdown, with its warnings and notes beneath."""
    policies = len({row.policy for row in table.rows}) > 1
    heads = ["model", "method", "provider", "precision", *(["prompt"] if policies else []), "rows", "n"]
    right = {"rows", "n", "training", "cost"}
    metrics = [wording.title(column) for column in table.columns]
    all_heads = [*heads, *metrics, "training", "cost"]
    rule = ["---:" if head in right or head in metrics else "---" for head in all_heads]
    lines = [f"**Results of {escaped(table.experiment)}**", "", _line(map(escaped, all_heads)), _line(rule)]
    lines += [_line(_markdown_row(row, table.columns, policies=policies)) for row in table.rows]
    notes = [f"- **{escaped(text)}**" for text in table.warnings] + [f"- {escaped(text)}" for text in table.notes]
    return "\n".join([*lines, *(["", *notes] if notes else [])]) + "\n"


def escaped(text: str) -> str:
    """Return text that Markdown shows as it is, on one line."""
    for mark in "\\`*_[]<>|":
        text = text.replace(mark, f"\\{mark}")
    return " ".join(text.split())


def _line(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"


def _markdown_row(row: ResultRow, columns: tuple[Column, ...], *, policies: bool) -> list[str]:
    label = escaped(row.label) + (f" ({escaped(wording.status(row))})" if not row.done else "")
    words = [
        row.method or row.kind,
        row.provider,
        row.precision or wording.NOTHING,
        *([row.policy] if policies else []),
    ]
    counts = [wording.count(row.rows_trained), wording.asked(row)]
    cells = [_markdown_cell(column, row.cells.get(column.name, Cell())) for column in columns]
    return [label, *map(escaped, words), *counts, *cells, wording.duration(row.train_s), wording.money(row.cost_usd)]


def _markdown_cell(column: Column, cell: Cell) -> str:
    if cell.failure:
        return "not computed"
    number = wording.number(column, cell.value)
    parts = [f"**{number}**" if cell.best else number, wording.marks(cell), wording.interval(column, cell)]
    return " ".join(part for part in parts if part).replace("[", "\\[").replace("]", "\\]")


def _row(row: ResultRow, columns: Mapping[str, Column]) -> dict[str, Any]:
    plain = {name: getattr(row, name) for name in _PLAIN}
    counts = {name: getattr(row, name) for name in _COUNTS}
    metrics = {name: _cell(columns[name], cell) for name, cell in row.cells.items() if name in columns}
    ending = {name: getattr(row, name) for name in _ENDING}
    jobs = {"bases": list(row.bases), "tune_job": row.tune_job, "evaluation_job": row.evaluation_job}
    return {**plain, "parameters": dump(dict(row.parameters)), **counts, "metrics": metrics, **ending, **jobs}


def _cell(column: Column, cell: Cell) -> dict[str, Any]:
    numbers = {name: _scaled(column, getattr(cell, name)) for name in ("value", "low", "high")}
    return {**asdict(cell), **numbers}


def _csv_cell(column: Column, cell: Cell) -> list[object]:
    numbers = [_scaled(column, value) for value in (cell.value, cell.low, cell.high)]
    return [*numbers, cell.scored, cell.best, cell.tied, cell.letters, cell.failure]


def _comparison(one: Comparison, column: Column) -> dict[str, Any]:
    scaled = {name: _scaled(column, getattr(one, name)) for name in ("difference", "low", "high", "detectable")}
    return {**asdict(one), **scaled}


def _preference(one: PreferenceResult) -> dict[str, Any]:
    data = dump(one)
    pair = data.pop("pair")
    rows = ("left", "right", "left_label", "right_label")
    return {**{name: pair[name] for name in rows}, **{name: data[name] for name in data if name != "rows"}}


def _detectable(one: Detectable, column: Column) -> dict[str, Any]:
    return {**asdict(one), "now": _scaled(column, one.now), "with_1000": _scaled(column, one.with_1000)}


def _scaled(column: Column, value: float | None) -> float | None:
    # Ten places: 0.975 * 100 shall read 97.5.
    return None if value is None else round(value * column.scale, 10)
