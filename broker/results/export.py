"""The table for programs and documents: JSON, CSV, Markdown.

JSON, whose keys are stable (new ones may come):

```
{
  "format": 1,
  "experiment": "tone",
  "columns": [{"name", "label", "unit", "direction", "kind", "version", "mixed"}],
  "rows": [{
     "key", "label", "kind": "base"|"tuned", "provider", "model", "method", "precision", "policy", "rows_trained",
     "parameters": {}, "state", "stage", "detail", "n", "failed", "empty", "cut", "overlap", "validation_sha256",
     "metrics": {NAME: {"value", "low", "high", "scored", "unscored", "best", "tied", "letters", "failure",
        "details": {}, "breakdown": {PART: {"total", …}}}},
     "train_s", "eval_s", "tokens_per_s", "train_cost_usd", "eval_cost_usd", "judge_cost_usd", "cost_usd",
     "bases": [KEY],
     "tune_job", "evaluation_job", "group"}],
  "comparisons": [{"metric", "left": KEY, "right": KEY, "against": "base"|"best"|"other", "n", "difference", "low",
     "high", "p", "p_adjusted", "different", "effect", "spread", "detectable", "method"}],
  "detectable": [{"metric", "n", "now", "with_1000"}],
  "preferences": [{"left": KEY, "right": KEY, "left_label", "right_label", "source": "people"|"judge", "by", "n",
     "wins", "losses", "ties", "win_rate", "low", "high", "p", "p_adjusted", "family", "agreement", "alpha",
     "position_bias", "swaps", "flips", "unscored", "failures": {}, "cost_usd", "made_by": {}, "remarks": [],
     "panel": null|{"criterion", "voters", "votes", "left", "right", "ties", "skipped", "median_s",
     "share"|"first"|"easier"|"ease": {"value", "low", "high", "p", "n", "method"}, "left_out": {}, "helped",
     "stale"}}],
  "expenses": [{"name", "at", "reserved_usd", "cost_usd"}],
  "conditions": {}, "notes": [], "warnings": [],
  "arrangement": {"sort", "filters": [], "group", "columns": []}, "hidden": [{"key", "label"}]
}
```

Marks, letters and `comparisons` are those of all rows, `hidden` ones (which a filter left out) included. Numbers are in
the unit of their column: percentages 0 to 100, their differences in points; the shares of `preferences` are 0 to 1.
`null` is "there is none".
"""

from __future__ import annotations

import csv
import json
import re
from dataclasses import asdict
from io import StringIO
from typing import TYPE_CHECKING, Any

from broker.jobs.codec import dump
from broker.results import wording
from broker.results.fields import Field, usual
from broker.results.values import Cell, Column, Comparison, Detectable, ResultRow, ResultsTable, Section

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from broker.evaluation.preference import PreferenceResult

FORMAT = 1
# A spreadsheet takes a cell that begins with one of these for a formula.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
# What would steer a terminal that shows the file.
_STEERING = re.compile("[\x00-\x1f\x7f-\x9f]")
_CSV_PARTS = ("", "_low", "_high", "_scored", "_best", "_tied", "_letters", "_failure")
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
_COUNTS = ("detail", "n", "failed", "empty", "cut", "overlap", "validation_sha256")
_ENDING = ("train_s", "eval_s", "tokens_per_s", "train_cost_usd", "eval_cost_usd", "judge_cost_usd", "cost_usd")


def to_data(table: ResultsTable) -> dict[str, Any]:
    """Return the table as plain data, in the form described above."""
    columns = {column.name: column for column in table.columns}
    chosen = table.arrangement.columns
    shown = {name: column for name, column in columns.items() if not chosen or name in chosen}
    groups = _groups(table)
    kept = ("name", "label", "unit", "direction", "kind", "version", "mixed")
    return {
        "format": FORMAT,
        "experiment": table.experiment,
        "columns": [{name: dump(getattr(column, name)) for name in kept} for column in shown.values()],
        "rows": [{**_row(row, shown), "group": groups.get(row.key)} for row in table.rows],
        "comparisons": [_comparison(one, shown[one.metric]) for one in table.comparisons if one.metric in shown],
        "detectable": [_detectable(one, shown[one.metric]) for one in table.detectable if one.metric in shown],
        "preferences": [preference_data(one) for one in table.preferences],
        "expenses": [dump(one) for one in table.expenses],
        "conditions": dump(dict(table.conditions)),
        "notes": list(table.notes),
        "warnings": list(table.warnings),
        "arrangement": dump(table.arrangement),
        "hidden": [{"key": row.key, "label": row.label} for row in table.hidden],
    }


def to_json(table: ResultsTable) -> str:
    """Return the table as JSON text without a trailing newline."""
    return json.dumps(to_data(table), ensure_ascii=False, indent=2, allow_nan=False)


def to_csv(table: ResultsTable) -> str:
    """Return one line per model, with columns NAME, NAME_low, NAME_high, NAME_best, NAME_letters per metric.

    A table whose rows are grouped has the column `group` too. Text that a spreadsheet would run as a formula gets a
    leading apostrophe.
    """
    file = StringIO()
    writer = csv.writer(file, lineterminator="\n")
    groups = _groups(table)
    columns = _csv_columns(table)
    names = [name for column in columns for name in _csv_names(column)]
    writer.writerow([safe(name) for name in (*(["group"] if groups else []), *names)])
    for row in table.rows:
        values = [value for column in columns for value in _csv_values(column, row)]
        writer.writerow([safe(value) for value in (*([groups[row.key]] if groups else []), *values)])
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
    shown = usual(table)
    heads = ["model", *(_head(field) for field in shown)]
    rule = ["---", *("---:" if field.numeric else "---" for field in shown)]
    lines = [f"**Results of {escaped(table.experiment)}**", "", _line(map(escaped, heads)), _line(rule)]
    for section in table.sections or (Section(title="", rows=table.rows),):
        if section.title:
            lines.append(_line([f"**{escaped(section.title)}**", *("" for _ in shown)]))
        lines += [_line(_markdown_row(row, shown)) for row in section.rows]
    notes = [f"- **{escaped(text)}**" for text in table.warnings] + [f"- {escaped(text)}" for text in table.notes]
    notes += [f"- {text}" for text in hash_lines(table)]
    return "\n".join([*lines, *(["", *notes] if notes else [])]) + "\n"


def hash_lines(table: ResultsTable) -> list[str]:
    """Return the whole hash of each validation set, for forms that people keep."""
    hashes = wording.several(table.conditions.get("validation_sha256"))
    return [f"sha256 of the validation set: {sha}" for sha in hashes]


def escaped(text: str) -> str:
    """Return text that Markdown shows as it is, on one line."""
    for mark in "\\`*_[]<>|":
        text = text.replace(mark, f"\\{mark}")
    return _STEERING.sub("", " ".join(text.split()))


def _line(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"


def _head(field: Field) -> str:
    return wording.title(field.column) if field.column else field.name.replace("_", " ")


def _markdown_row(row: ResultRow, shown: Sequence[Field]) -> list[str]:
    label = escaped(row.label) + (f" ({escaped(wording.status(row))})" if not row.done else "")
    cells = [
        _markdown_cell(field.column, row.cells.get(field.name, Cell())) if field.column else escaped(field.text(row))
        for field in shown
    ]
    return [label, *cells]


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


def _groups(table: ResultsTable) -> dict[str, str]:
    """Return the heads of the groups by row key."""
    return {row.key: section.title for section in table.sections for row in section.rows}


def _csv_columns(table: ResultsTable) -> list[str | Column | Field]:
    """Return what stands in the file: attributes of a row by name, metrics, and what somebody asked for."""
    if table.arrangement.columns:
        return ["label", *(field.column or field for field in usual(table))]
    return [*_PLAIN, *_COUNTS, *table.columns, *_ENDING]


def _csv_names(column: str | Column | Field) -> list[str]:
    if isinstance(column, Column):
        return [column.name + part for part in _CSV_PARTS]
    return [column if isinstance(column, str) else column.name]


def _csv_values(column: str | Column | Field, row: ResultRow) -> list[object]:
    if isinstance(column, Column):
        return _csv_cell(column, row.cells.get(column.name, Cell()))
    return [getattr(row, column) if isinstance(column, str) else column.value(row)]


def _csv_cell(column: Column, cell: Cell) -> list[object]:
    numbers = [_scaled(column, value) for value in (cell.value, cell.low, cell.high)]
    return [*numbers, cell.scored, cell.best, cell.tied, cell.letters, cell.failure]


def _comparison(one: Comparison, column: Column) -> dict[str, Any]:
    scaled = {name: _scaled(column, getattr(one, name)) for name in ("difference", "low", "high", "detectable")}
    return {**asdict(one), **scaled}


def preference_data(one: PreferenceResult) -> dict[str, Any]:
    """Return a preference as plain data, without the verdicts of its rows."""
    data = dump(one)
    pair = data.pop("pair")
    rows = ("left", "right", "left_label", "right_label")
    return {**{name: pair[name] for name in rows}, **{name: data[name] for name in data if name != "rows"}}


def _detectable(one: Detectable, column: Column) -> dict[str, Any]:
    return {**asdict(one), "now": _scaled(column, one.now), "with_1000": _scaled(column, one.with_1000)}


def _scaled(column: Column, value: float | None) -> float | None:
    # Ten places: 0.975 * 100 shall read 97.5.
    return None if value is None else round(value * column.scale, 10)
