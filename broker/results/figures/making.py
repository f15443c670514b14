"""From the table to its figures: the numbers are those of the table, none is computed anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.evaluation.metrics import Direction, Kind
from broker.results import wording
from broker.results.figures.settings import Setting, settings
from broker.results.figures.values import (
    Absent,
    Bar,
    Bars,
    Contrast,
    Curves,
    Dot,
    Figure,
    Forest,
    Line,
    LossCurve,
    Panel,
)
from broker.results.values import Cell

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from broker.results.values import Column, Comparison, ResultRow, ResultsTable

SIMILARITY = "similarity"
# A line of more points than these is thinned out; its last point stays.
_MOST_POINTS = 400
_GROUPS = {"base": "against its own base", "best": "against the best", "other": "other pairs"}
# So many panels of one column stand in a row instead.
_SIDE_BY_SIDE = 3


def main_metric(table: ResultsTable) -> Column | None:
    """Return the metric that a figure shows when none is named.

    `conversational`, else the first proportion, else the first metric of which one way is better, else the first.
    """
    ways = [column for column in table.columns if column.direction is not Direction.NONE]
    named = [column for column in table.columns if column.name == "conversational"]
    proportions = [column for column in ways if column.kind is Kind.PROPORTION]
    return next(iter([*named, *proportions, *ways, *table.columns]), None)


def bars(table: ResultsTable, column: Column | None) -> Figure:
    """Return a bar for each model with its interval (Fig. 2 of arXiv:2507.04889).

    Args:
        table: Whose shown rows are drawn.
        column: The metric.
    """
    if column is None or not any(_cell(row, column).value is not None for row in table.rows):
        return Absent(name="bars", title="Every model", reason=_no_number(column))
    groups = {row.key: section.title for section in table.sections for row in section.rows}
    drawn = [
        Bar(
            label=row.label,
            value=cell.value * column.scale,
            low=_scaled(column, cell.low),
            high=_scaled(column, cell.high),
            marks=wording.marks(cell),
            base=row.kind == "base",
            best=cell.best,
            group=groups.get(row.key, ""),
        )
        for row in table.rows
        if (cell := _cell(row, column)).value is not None
    ]
    kind = "Wilson" if column.kind is Kind.PROPORTION else "bootstrap"
    stars = " ★ best, = not told apart from it." if any(bar.best for bar in drawn) else ""
    return Bars(
        name="bars",
        title=f"{column.label}: every model",
        note=f"Lines: 95 % intervals ({kind}).{stars}",
        axis=_axis(column),
        decimals=column.decimals,
        percent=column.unit == "%",
        bars=tuple(drawn),
    )


def _no_number(column: Column | None) -> str:
    """Say that no model has a number, and of which metric: others may have some."""
    return "no model has a number yet" + (f" in {column.label}; --metric takes another" if column else "")


def size_curves(table: ResultsTable, column: Column | None, name: str = "size") -> Figure:
    """Return a metric over the size of the training set, a line for each setting (Fig. 3 of arXiv:2507.04889).

    Args:
        table: Whose shown rows are drawn; bases stand at size 0.
        column: The metric.
        name: Of the figure.
    """
    title = f"{column.label if column else name} over the size of the training set"
    if column is None:
        return Absent(name=name, title=title, reason=f"no model was judged by {name}")
    tuned = [row for row in table.rows if row.kind == "tuned" and _cell(row, column).value is not None]
    sizes = sorted({float(row.rows_trained) for row in tuned if row.rows_trained})
    if len(sizes) < 2:
        had = f"all tuned models had {sizes[0]:,.0f} rows" if sizes else "no tuned model has a number yet"
        reason = f"a curve needs at least two sizes of training set, and {had}"
        return Absent(name=name, title=title, reason=reason)
    placed = settings(table)
    lines = [
        (placed[rows[0].key], Line(label=placed[rows[0].key].label, hue=placed[rows[0].key].hue, dots=dots))
        for rows in _by_setting(tuned, placed)
        if (dots := _size_dots(table, rows, column))
    ]
    return Curves(
        name=name,
        title=title,
        note="Size 0 is the base model. Lines at points: 95 % intervals. Logarithmic from the smallest size on.",
        x_axis="training rows",
        y_axis=_axis(column),
        decimals=column.decimals,
        percent=column.unit == "%",
        sizes=(0.0, *sizes),
        panels=_panels(lines),
    )


def losses(table: ResultsTable, curves: Sequence[LossCurve]) -> Figure:
    """Return the loss of each tuning job over its steps.

    Args:
        table: Whose shown rows are drawn.
        curves: What the store knows.
    """
    title = "Loss while tuning"
    placed = settings(table)
    rows = {row.key: row for row in table.rows}
    known = [curve for curve in curves if curve.row in placed and (curve.training or curve.validation)]
    found = sorted(known, key=lambda curve: (placed[curve.row].hue, rows[curve.row].rows_trained or 0))
    if not found:
        return Absent(name="loss", title=title, reason="no tuning job of these models has told its loss")
    several = len({rows[curve.row].rows_trained for curve in found}) > 1
    labels = {curve.row: _loss_label(rows[curve.row], placed[curve.row], several=several) for curve in found}
    hues = {label: hue for hue, label in enumerate(dict.fromkeys(labels.values()))}
    lines: list[tuple[Setting, Line]] = []
    for curve in found:
        label = labels[curve.row]
        for words, points, faint in ((label, curve.training, False), (f"{label}, held out", curve.validation, True)):
            if points:
                dots = tuple(Dot(x=step, y=loss) for step, loss in thinned(points))
                lines.append((placed[curve.row], Line(label=words, hue=hues[label], dots=dots, faint=faint)))
    held = " Thin broken lines: rows that were held out." if any(curve.validation for curve in found) else ""
    return Curves(
        name="loss",
        title=title,
        note=f"As each job told it.{held}",
        x_axis="step",
        y_axis="loss",
        decimals=2,
        percent=False,
        panels=_panels(lines),
    )


def thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return every k-th point and the last one, at most about 400."""
    step = -(-len(points) // _MOST_POINTS)
    return [*points[:-1:step], points[-1]]


def forest(table: ResultsTable, column: Column | None) -> Figure:
    """Return the paired differences of a metric: each model against its base and against the best.

    Args:
        table: Whose comparisons are drawn, those of shown rows.
        column: The metric.
    """
    title = f"{column.label if column else 'Models'}: differences on the same prompts"
    shown = {row.key for row in table.rows}
    compared = [
        one
        for one in table.comparisons
        if column is not None and one.metric == column.name and one.left in shown and None not in (one.low, one.high)
    ]
    if column is None or not compared:
        return Absent(name="forest", title=title, reason="no two models were compared on the same prompts")
    seen = next((one for one in table.detectable if one.metric == column.name), None)
    zone = None if seen is None or seen.now is None else seen.now * column.scale
    grey = (
        f" Shaded: under {wording.difference(column, seen.now)}, n = {seen.n:,} cannot see a difference."
        if seen and zone
        else ""
    )
    heads = _heads(table, compared)
    return Forest(
        name="forest",
        title=title,
        note=f"Lines: 95 % intervals; p after Holm. Hollow: a tie.{grey}",
        axis=f"difference, {'points' if column.unit == '%' else column.unit or column.label}",
        decimals=column.decimals,
        better={Direction.HIGHER: "right", Direction.LOWER: "left", Direction.NONE: ""}[column.direction],
        zone=zone,
        contrasts=tuple(
            _contrast(table, column, one, heads[against])
            for against in heads
            for one in compared
            if one.against == against
        ),
    )


def _heads(table: ResultsTable, compared: Sequence[Comparison]) -> dict[str, tuple[str, bool]]:
    """Return (head, whether it names the other model) of each sort of comparison, in the order shown."""
    heads: dict[str, tuple[str, bool]] = {}
    for against, words in _GROUPS.items():
        others = {one.right for one in compared if one.against == against}
        if others:
            alike = len(others) == 1
            heads[against] = (f"{words}, {table.row(others.pop()).label}" if alike else words, alike)
    return heads


def _contrast(table: ResultsTable, column: Column, one: Comparison, head: tuple[str, bool]) -> Contrast:
    difference, low, high = one.difference or 0.0, one.low or 0.0, one.high or 0.0
    higher = column.direction is Direction.HIGHER
    verdict = "different" if column.direction is Direction.NONE else "better" if (difference > 0) == higher else "worse"
    return Contrast(
        label=table.row(one.left).label,
        against=table.row(one.right).label,
        group=head[0],
        shared=head[1],
        difference=difference * column.scale,
        low=low * column.scale,
        high=high * column.scale,
        p=one.p_adjusted,
        verdict=verdict if one.different else "tie",
    )


def _cell(row: ResultRow, column: Column) -> Cell:
    return row.cells.get(column.name, Cell())


def _scaled(column: Column, value: float | None) -> float | None:
    return None if value is None else value * column.scale


def _axis(column: Column) -> str:
    return wording.title(column)


def _by_setting(tuned: Iterable[ResultRow], placed: Mapping[str, Setting]) -> list[list[ResultRow]]:
    found: dict[Setting, list[ResultRow]] = {}
    for row in tuned:
        if row.rows_trained:
            found.setdefault(placed[row.key], []).append(row)
    return list(found.values())


def _size_dots(table: ResultsTable, rows: Sequence[ResultRow], column: Column) -> tuple[Dot, ...]:
    """Return the points of one setting, its base first."""
    base = next((key for row in rows for key in row.bases), None)
    cells = [(0.0, _cell(table.row(base), column))] if base is not None else []
    cells += [(float(row.rows_trained or 0), _cell(row, column)) for row in rows]
    return tuple(
        Dot(x=x, y=cell.value * column.scale, low=_scaled(column, cell.low), high=_scaled(column, cell.high))
        for x, cell in sorted(cells, key=lambda pair: pair[0])
        if cell.value is not None
    )


def _loss_label(row: ResultRow, setting: Setting, *, several: bool) -> str:
    parts = [setting.label, f"{row.rows_trained:,} rows" if several and row.rows_trained else ""]
    return " · ".join(part for part in parts if part)


def _panels(lines: Sequence[tuple[Setting, Line]]) -> tuple[Panel, ...]:
    """Return the panels row by row; rows and columns without a line are closed up."""
    found: dict[tuple[int, int], list[tuple[Setting, Line]]] = {}
    for setting, line in lines:
        found.setdefault((setting.row, setting.column), []).append((setting, line))
    rows, columns = sorted({row for row, _ in found}), sorted({column for _, column in found})
    if len(columns) == 1 and len(rows) <= _SIDE_BY_SIDE:
        found = {(0, row): lines for (row, _), lines in found.items()}
        rows, columns = [0], rows
    return tuple(
        Panel(
            title=found[place][0][0].panel,
            row=rows.index(place[0]),
            column=columns.index(place[1]),
            lines=tuple(sorted((line for _, line in found[place]), key=lambda line: (line.hue, line.faint))),
        )
        for place in sorted(found)
    )
