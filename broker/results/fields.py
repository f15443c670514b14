"""What rows can be sorted, filtered and grouped by, and what columns show: the same for every form of the table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from broker.errors import Problem
from broker.evaluation.metrics import Direction
from broker.results import wording
from broker.results.values import Cell, Column, ResultRow

if TYPE_CHECKING:
    from broker.results.values import ResultsTable

Value = float | str | None
# What providers call the hyperparameters that people group by.
SPELLINGS: Mapping[str, tuple[str, ...]] = {
    "lr": ("lr", "learning_rate"),
    "lr_multiplier": ("learning_rate_multiplier", "lr_multiplier"),
    "rank": ("rank", "lora_rank", "r"),
    "alpha": ("alpha", "lora_alpha"),
    "epochs": ("epochs", "n_epochs"),
}
_OTHER_NAMES = {
    "policy": "prompt",
    "rows_trained": "rows",
    "train_s": "training",
    "eval_s": "evaluation",
    "cost_usd": "cost",
    "train_cost_usd": "training_cost",
    "eval_cost_usd": "evaluation_cost",
    "tokens_per_s": "tokens/s",
    "speed": "tokens/s",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One property of a row.

    Attributes:
        name: What people call it.
        value: To sort, filter and group by; metrics are in the unit shown.
        text: What a cell shows.
        numeric: Its values are numbers.
        descending: The greatest come first, unless told otherwise.
        column: The metric; None for everything else.
    """

    name: str
    value: Callable[[ResultRow], Value]
    text: Callable[[ResultRow], str]
    numeric: bool = False
    descending: bool = False
    column: Column | None = None


def fields(table: ResultsTable) -> dict[str, Field]:
    """Return every field of a table by name: what all tables have, its hyperparameters, its metrics.

    Args:
        table: Arranged or not.
    """
    found = {field.name: field for field in _PLAIN}
    for row in (*table.rows, *table.hidden):
        for name in map(spelling, row.parameters):
            found.setdefault(name, _parameter(name))
    return found | {column.name: _metric(column) for column in table.columns}


def spelling(parameter: str) -> str:
    """Return what people call a provider's hyperparameter."""
    return next((name for name, theirs in SPELLINGS.items() if parameter in theirs), parameter)


def parameter(row: ResultRow, name: str) -> Any:
    """Return a hyperparameter of a row by what people call it; None when it has none."""
    known = SPELLINGS.get(name, (name,))
    return next((value for key in known if (value := row.parameters.get(key)) is not None), None)


def find_field(table: ResultsTable, name: str) -> Field | None:
    """Return a field by any of its names; None when there is none."""
    wanted = name.strip().lower()
    known = {key.lower(): field for key, field in fields(table).items()}
    return known.get(_OTHER_NAMES.get(wanted, wanted)) or known.get(spelling(wanted))


def unknown_field(table: ResultsTable, name: str, where: str, *, among: Sequence[str] = ()) -> Problem:
    """Return the problem of a name that no field has, with the nearest.

    Args:
        table: What was asked.
        name: As it was written.
        where: The option.
        among: What is known there; every field when empty.
    """
    known = list(among or fields(table))
    near = get_close_matches(name.strip().lower(), [*known, *(() if among else _OTHER_NAMES)], n=1)
    fix = f"did you mean {near[0]}? " if near else ""
    return Problem(where=where, what=f"no column is called {name!r}", fix=f"{fix}There are {', '.join(known)}")


def usual(table: ResultsTable) -> list[Field]:
    """Return the columns of a table after the model's name: those asked for, or the usual ones.

    Args:
        table: Arranged or not.
    """
    known = fields(table)
    chosen = table.arrangement.columns
    if chosen:
        return [known[name] for name in chosen if name != "label"]
    rows = (*table.rows, *table.hidden)
    metrics = [column.name for column in table.columns]
    names = ["method", "provider", "precision", "prompt", "rows", "n", *metrics, "training", "evaluation", "cost"]
    left_out = {*idle(rows), table.arrangement.group}
    return [known[name] for name in names if name not in left_out]


def idle(rows: Sequence[ResultRow]) -> set[str]:
    """Return the columns that would tell nothing of these rows."""
    telling = {
        "prompt": len({row.policy for row in rows}) > 1,
        "precision": any(row.precision for row in rows),
        "rows": any(row.rows_trained is not None for row in rows),
        "training": any(row.train_s is not None for row in rows),
    }
    return {name for name, tells in telling.items() if not tells}


def _number(name: str, value: Callable[[ResultRow], float | None], text: Callable[[Any], str]) -> Field:
    return Field(name=name, value=value, text=lambda row: text(value(row)), numeric=True)


def _words(name: str, value: Callable[[ResultRow], str]) -> Field:
    return Field(name=name, value=lambda row: value(row) or None, text=lambda row: value(row) or wording.NOTHING)


def _parameter(name: str) -> Field:
    def value(row: ResultRow) -> Value:
        found = parameter(row, name)
        return found if isinstance(found, int | float) and not isinstance(found, bool) else found and str(found)

    def text(row: ResultRow) -> str:
        found = value(row)
        return wording.NOTHING if found is None else f"{found:g}" if isinstance(found, int | float) else found

    return Field(name=name, value=value, text=text, numeric=True)


def _metric(column: Column) -> Field:
    def value(row: ResultRow) -> Value:
        found = row.cells.get(column.name, Cell()).value
        return None if found is None else found * column.scale

    def text(row: ResultRow) -> str:
        return wording.number(column, row.cells.get(column.name, Cell()).value)

    higher = column.direction is Direction.HIGHER
    return Field(name=column.name, value=value, text=text, numeric=True, descending=higher, column=column)


def _time(row: ResultRow) -> float | None:
    known = [part for part in (row.train_s, row.eval_s) if part is not None]
    return sum(known) if known else None


def _speed(value: float | None) -> str:
    return wording.NOTHING if value is None else f"{value:,.0f}"


_PLAIN = (
    _words("label", lambda row: row.label),
    _words("kind", lambda row: row.kind),
    _words("state", lambda row: row.state),
    _words("method", lambda row: row.method or row.kind),
    _words("provider", lambda row: row.provider),
    _words("model", lambda row: row.model),
    _words("precision", lambda row: row.precision),
    _words("prompt", lambda row: row.policy),
    _number("rows", lambda row: row.rows_trained, wording.count),
    Field(name="n", value=lambda row: row.n, text=wording.asked, numeric=True),
    _number("failed", lambda row: row.failed, wording.count),
    _number("training", lambda row: row.train_s, wording.duration),
    _number("evaluation", lambda row: row.eval_s, wording.duration),
    _number("time", _time, wording.duration),
    _number("training_cost", lambda row: row.train_cost_usd, wording.money),
    _number("evaluation_cost", lambda row: row.eval_cost_usd, wording.money),
    _number("cost", lambda row: row.cost_usd, wording.money),
    Field(
        name="tokens/s",
        value=lambda row: row.tokens_per_s,
        text=lambda row: _speed(row.tokens_per_s),
        numeric=True,
        descending=True,
    ),
)
