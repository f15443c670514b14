"""Finds the row of a table that a person means."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from broker.errors import UnknownNameError, UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from broker.results.values import ResultRow, ResultsTable

# So many rows are listed in an error.
_LISTED = 8


def pick_row(table: ResultsTable, name: str) -> ResultRow:
    """Return the one row that a name means.

    Tried in this order, and the first way that finds anything decides: the id of its evaluation or tuning job, its
    label, the name of a base model, the name of the model a tuned one was made of, the beginning of an id. Labels and
    names of models are then tried again without regard to case.

    Args:
        table: The rows to choose from, finished or not.
        name: What a person typed.

    Raises:
        UnknownNameError: No row is called so; the message names the nearest.
        UserError: Several rows are; the message names their ids.
    """
    for found in _ways(table, name.strip()):
        if len(found) == 1:
            return found[0]
        if found:
            raise _ambiguous(table, name, found)
    raise _unknown(table, name)


def _ways(table: ResultsTable, name: str) -> Iterator[list[ResultRow]]:
    rows, folded = table.rows, name.casefold()
    yield [row for row in rows if name in _ids(row)]
    yield [row for row in rows if name == row.label]
    yield [row for row in rows if row.kind == "base" and name == row.model]
    yield [row for row in rows if name == row.model]
    yield [row for row in rows if name and any(id_.startswith(name) for id_ in _ids(row))]
    yield [row for row in rows if folded == row.label.casefold()]
    yield [row for row in rows if folded == row.model.casefold()]


def _ids(row: ResultRow) -> list[str]:
    return [id_ for id_ in (row.key, row.evaluation_job, row.tune_job) if id_]


def _ambiguous(table: ResultsTable, name: str, found: list[ResultRow]) -> UserError:
    listed = ", ".join(f"{row.key} ({row.label})" for row in found[:_LISTED])
    more = f" and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
    return UserError(
        f"{name!r} means {len(found)} rows of {table.experiment}: {listed}{more}",
        fix=f"name one by its id, such as {found[0].key}",
    )


def _unknown(table: ResultsTable, name: str) -> UnknownNameError:
    names = list(dict.fromkeys(part for row in table.rows for part in (row.label, row.model, *_ids(row))))
    near = get_close_matches(name, names, n=3)
    known = near or [row.label for row in table.rows[:_LISTED]]
    said = "the nearest are" if near else "there are" if known else "it has no rows"
    listed = " " + ", ".join(repr(each) for each in known) if known else ""
    return UnknownNameError(
        f"no row of {table.experiment} is called {name!r}; {said}{listed}",
        fix=f"broker results {table.experiment} shows its rows",
    )
