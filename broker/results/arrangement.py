"""Sort, filter, group, choose columns: another look at the same table. Pure: values in, values out.

A filter is `COLUMN OPERATOR VALUE`: `precision=int8`, `rows>=1000`, `provider!=local`, `label~tuned`,
`conversational>90`. `=` and `!=` ignore case, `~` and `!~` ask whether the text is within. A row without a value meets
only `!=` and `!~`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from operator import eq, ge, gt, le, lt, ne
from typing import TYPE_CHECKING, Any

from broker.errors import Problem, SpecError
from broker.results.fields import Field, Value, fields, find_field, unknown_field
from broker.results.values import Arrangement, ResultRow, ResultsTable, Section

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_FILTER = re.compile(r"^\s*(?P<name>[^=!<>~]+?)\s*(?P<sign>>=|<=|!=|!~|==|=|>|<|~)\s*(?P<value>.*?)\s*$", re.DOTALL)
_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": eq,
    "==": eq,
    "!=": ne,
    ">": gt,
    ">=": ge,
    "<": lt,
    "<=": le,
    "~": lambda text, part: part in text,
    "!~": lambda text, part: part not in text,
}
_NEGATIVE = ("!=", "!~")
_TEXT_SIGNS = ("~", "!~")
_NO_GROUPS = frozenset(
    {
        "label",
        "failed",
        "n",
        "training",
        "evaluation",
        "time",
        "training_cost",
        "evaluation_cost",
        "cost",
        "tokens/s",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Filter:
    field: Field
    sign: str
    value: float | str

    def admits(self, row: ResultRow) -> bool:
        found = self.field.value(row)
        if found is None:
            return self.sign in _NEGATIVE
        wanted = self.value
        if self.sign in _TEXT_SIGNS or not (isinstance(wanted, float) and isinstance(found, int | float)):
            found, wanted = _folded(found), _folded(wanted)
        return _COMPARE[self.sign](found, wanted)


def arrange(table: ResultsTable, arrangement: Arrangement) -> ResultsTable:
    """Return the table as somebody wants to look at it; its numbers, marks and comparisons stay.

    Args:
        table: As `build_table` made it.
        arrangement: What is wanted.

    Raises:
        SpecError: An unknown column or an expression that says nothing; all problems at once.
    """
    problems: list[Problem] = []
    order = _order(table, arrangement.sort, problems)
    filters = [one for text in arrangement.filters if (one := _filter(table, text, problems)) is not None]
    group = _group(table, arrangement.group, problems)
    columns = _columns(table, arrangement.columns, problems)
    if problems:
        raise SpecError(problems, summary="the table cannot be shown so")
    shown = [row for row in table.rows if all(one.admits(row) for one in filters)]
    hidden = tuple(row for row in table.rows if row not in shown)
    rows = order(shown)
    sections = _sections(group, rows) if group else ()
    arranged = replace(
        table,
        rows=tuple(row for section in sections for row in section.rows) if group else tuple(rows),
        hidden=hidden,
        sections=sections,
        arrangement=replace(arrangement, columns=columns, group=group.name if group else ""),
    )
    return replace(arranged, notes=(*_remarks(arranged), *table.notes))


def _order(table: ResultsTable, text: str, problems: list[Problem]) -> Callable[[Sequence[ResultRow]], list[ResultRow]]:
    """Return what sorts rows; equal ones keep their order, rows without a value come last."""
    if not text:
        return list
    name, _, way = text.rpartition(":") if text.rpartition(":")[2] in ("asc", "desc") else (text, "", "")
    found = find_field(table, name)
    if found is None:
        problems.append(unknown_field(table, name, "--sort"))
        return list
    descending = way == "desc" if way else found.descending

    def ordered(rows: Sequence[ResultRow]) -> list[ResultRow]:
        known = [row for row in rows if found.value(row) is not None]
        unknown = [row for row in rows if found.value(row) is None]
        return sorted(known, key=lambda row: _rank(found.value(row)), reverse=descending) + unknown

    return ordered


def _filter(table: ResultsTable, text: str, problems: list[Problem]) -> _Filter | None:
    match = _FILTER.match(text)
    if match is None:
        fix = "write COLUMN OPERATOR VALUE, as in precision=int8, rows>=1000 or label~tuned"
        problems.append(Problem(where="--filter", what=f"{text!r} compares nothing", fix=fix))
        return None
    name, sign, given = match["name"], match["sign"], match["value"]
    found = find_field(table, name)
    if found is None:
        problems.append(unknown_field(table, name, "--filter"))
        return None
    value = _value(given)
    if sign not in (*_TEXT_SIGNS, "=", "==", "!=") and not (found.numeric and isinstance(value, float)):
        what = f"{text!r}: {found.name} is text" if not found.numeric else f"{text!r}: {given!r} is not a number"
        problems.append(Problem(where="--filter", what=what, fix=f"as in {found.name}{_example(found)}"))
        return None
    return _Filter(field=found, sign=sign, value=value)


def _example(found: Field) -> str:
    return ">10" if found.numeric else "=int8" if found.name == "precision" else "~words"


def _value(text: str) -> float | str:
    try:
        return float(text.strip("$%").replace(",", ""))
    except ValueError:
        return text


def _group(table: ResultsTable, name: str, problems: list[Problem]) -> Field | None:
    found = find_field(table, name) if name else None
    if name and found is None:
        problems.append(unknown_field(table, name, "--group"))
    elif found is not None and (found.column is not None or found.name in _NO_GROUPS):
        able = [key for key, field in fields(table).items() if field.column is None and key not in _NO_GROUPS]
        what = f"{found.name} has a value of its own for every model"
        problems.append(Problem(where="--group", what=what, fix=f"take one of {', '.join(able)}"))
        return None
    return found


def _columns(table: ResultsTable, names: Sequence[str], problems: list[Problem]) -> tuple[str, ...]:
    found = [(name, find_field(table, name)) for name in names]
    problems.extend(unknown_field(table, name, "--columns") for name, field in found if field is None)
    return tuple(dict.fromkeys(field.name for _, field in found if field is not None))


def _sections(field: Field, rows: Sequence[ResultRow]) -> tuple[Section, ...]:
    """Return the groups: numbers rise, words come in the order of the rows, rows without a value first."""
    found: dict[Value, list[ResultRow]] = {}
    for row in rows:
        found.setdefault(field.value(row), []).append(row)
    numbers = all(value is None or isinstance(value, int | float) for value in found)
    keys = sorted(found, key=lambda value: (value is not None, _rank(value) if numbers else (0, "")))
    return tuple(Section(title=_title(field, key, found[key]), rows=tuple(found[key])) for key in keys)


def _title(field: Field, value: Value, rows: Sequence[ResultRow]) -> str:
    if value is None:
        return "base models" if all(row.kind == "base" for row in rows) else f"no {field.name}"
    return f"{field.name} {field.text(rows[0])}"


def _rank(value: Value) -> tuple[float, str]:
    """Return a key that puts numbers before words."""
    return (float(value), "") if isinstance(value, int | float) else (float("inf"), _folded(value))


def _folded(value: object) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value).casefold()


def _remarks(table: ResultsTable) -> list[str]:
    lines: list[str] = []
    total = len(table.rows) + len(table.hidden)
    if table.arrangement.filters:
        filters = ", ".join(table.arrangement.filters)
        lines.append(
            f"{len(table.rows)} of {total} models shown ({filters}); marks, letters and comparisons are those of "
            f"all {total}."
        )
    if table.arrangement.sort:
        lines.append(f"Sorted by {table.arrangement.sort}; models without a value come last.")
    return lines
