"""Which hyperparameters tell the models of an experiment apart: panels, lines and their colours follow from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from broker.results.fields import fields

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker.results.fields import Field
    from broker.results.values import ResultRow, ResultsTable

# As in Fig. 3 of arXiv:2507.04889: rows of panels are precisions, columns are ranks.
_PANEL_ROWS, _PANEL_COLUMNS = "precision", "rank"
_NAMED = ("provider", "model", "method", "precision", "prompt")
# These follow from other settings or change no answer.
_SILENT = frozenset({"checkpoint_steps", "gradient_checkpointing", "max_length"})
_PLAIN_WORDS = frozenset({"provider", "model", "method", "precision"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Where a model stands in a figure.

    Attributes:
        row: Row of its panel, from 0.
        column: Column of its panel.
        panel: Title of the panel; empty when there is one.
        label: What is left to tell it from the others of its panel, but for the size of its training set.
        hue: Number of the label.
    """

    row: int
    column: int
    panel: str
    label: str
    hue: int


def settings(table: ResultsTable) -> dict[str, Setting]:
    """Return the setting of each tuned model by row key.

    Args:
        table: Whose shown rows are drawn.
    """
    tuned = [row for row in table.rows if row.kind == "tuned"]
    known = fields(table)
    parameters = [name for row in tuned for name in row.parameters]
    names = dict.fromkeys([*_NAMED, *(name for name in known if _is_parameter(name, known, parameters))])
    varying = [known[name] for name in names if _varies(known[name], tuned)]
    across = [field for field in varying if field.name in (_PANEL_ROWS, _PANEL_COLUMNS)]
    along = [field for field in varying if field not in across]
    labels = {row.key: _words(along, row) or (tuned[0].model if tuned else "") for row in tuned}
    hues = {label: hue for hue, label in enumerate(_ordered(along, tuned, labels))}
    grid = {name: _values(name, across, tuned) for name in (_PANEL_ROWS, _PANEL_COLUMNS)}
    return {
        row.key: Setting(
            row=grid[_PANEL_ROWS].index(_text(_PANEL_ROWS, across, row)),
            column=grid[_PANEL_COLUMNS].index(_text(_PANEL_COLUMNS, across, row)),
            panel=_panel(across, row),
            label=labels[row.key],
            hue=hues[labels[row.key]],
        )
        for row in tuned
    }


def _is_parameter(name: str, known: dict[str, Field], parameters: Sequence[str]) -> bool:
    from broker.results.fields import spelling

    return known[name].column is None and name in {spelling(each) for each in parameters} and name not in _SILENT


def _varies(field: Field, rows: Sequence[ResultRow]) -> bool:
    return len({field.text(row) for row in rows}) > 1


def _words(along: Sequence[Field], row: ResultRow) -> str:
    told = [field for field in along if field.value(row) is not None]
    return " · ".join(
        field.text(row) if field.name in _PLAIN_WORDS else f"{field.name} {field.text(row)}" for field in told
    )


def _panel(across: Sequence[Field], row: ResultRow) -> str:
    return " · ".join(
        f"no {field.name} told" if field.value(row) is None else f"{field.name} {field.text(row)}" for field in across
    )


def _ordered(along: Sequence[Field], rows: Sequence[ResultRow], labels: dict[str, str]) -> list[str]:
    """Return the labels: numbers rise, words keep the order of the table."""
    if len(along) == 1 and along[0].numeric:
        rows = sorted(rows, key=lambda row: (isinstance(along[0].value(row), str), _number(along[0], row)))
    return list(dict.fromkeys(labels[row.key] for row in rows))


def _number(field: Field, row: ResultRow) -> float:
    value = field.value(row)
    return float(value) if isinstance(value, int | float) else 0.0


def _values(name: str, across: Sequence[Field], rows: Sequence[ResultRow]) -> list[str]:
    """Return the values that a panel may have, in the order of the grid."""
    field = next((field for field in across if field.name == name), None)
    if field is None:
        return [""]
    ordered = sorted(rows, key=lambda row: _number(field, row)) if field.numeric else rows
    return list(dict.fromkeys(field.text(row) for row in ordered))


def _text(name: str, across: Sequence[Field], row: ResultRow) -> str:
    return next((field.text(row) for field in across if field.name == name), "")
