"""The table in a terminal, as wide as it is.

Where everything fits, a model is one line. On narrower terminals, in this order: the parts of the cost, tokens/s and
the time of the evaluation are left out; intervals go beneath their numbers; then prompt, provider, precision, method,
rows, training time, n and cost move, one after another, into a line beneath the model's name (beneath the table where
names have little room, or where all models have the same); and where not even the metrics fit side by side, each model
becomes a short list.

Marks do not rest on colour (`NO_COLOR`), and a terminal without Unicode gets ASCII.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from io import StringIO
from itertools import accumulate
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from broker.results import wording
from broker.results.fields import idle, usual
from broker.results.listed import numbered, packed
from broker.results.preferences import preference_notes, preference_texts
from broker.results.values import Cell, Column, ResultRow, ResultsTable

if TYPE_CHECKING:
    from rich.console import ConsoleOptions, JustifyMethod, RenderResult

# What is simply left out where there is no room comes first: `--json`, `--csv` and the page have it.
_LEFT_OUT = ("evaluation_cost", "training_cost", "tokens/s", "evaluation")
MOVED_FIRST = (*_LEFT_OUT, "prompt", "provider", "precision", "method", "rows", "training", "n", "cost")
_BEFORE = ("method", "provider", "precision", "prompt", "rows", "n")
_GAP = 2
_MODEL_MIN, _MODEL_MAX = 18, 44
# Names of more than so many lines are given the room of other columns.
_BRIEF_MIN, _LOW = 26, 2
_TEXT_WIDTH = 160
_ASCII = str.maketrans(
    {"★": "*", "≥": ">=", "≤": "<=", "–": "-", "“": '"', "”": '"', "…": "...", "·": "|", "↑": "", "↓": ""}
)

Say = Callable[[str], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Field:
    """One column as it is drawn.

    Attributes:
        name: Its name.
        head: Lines of its head.
        cells: One per row, each one or two lines of equal width.
        left: Set flush left.
        brief: What stands beneath the model's name instead, per row, when the column is moved there.
    """

    name: str
    head: tuple[str, ...]
    cells: tuple[Text, ...]
    left: bool = False
    brief: tuple[str, ...] = ()

    @property
    def uniform(self) -> bool:
        return len(self.brief) > 1 and len(set(self.brief)) == 1

    @property
    def width(self) -> int:
        lines = [line for cell in self.cells for line in cell.plain.split("\n")]
        return max(cell_len(line) for line in (*self.head, *lines))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    fields: tuple[_Field, ...]
    moved: tuple[_Field, ...]
    model_width: int

    @property
    def beneath(self) -> bool:
        """Say whether what was moved stands beneath the table: the model's column is too narrow for it."""
        return bool(self.moved) and self.model_width < _BRIEF_MIN

    def briefs(self, row: int) -> list[str]:
        """Return what was moved out of a row, but for what all models share."""
        return [field.brief[row] for field in self.moved if field.brief[row] and not field.uniform]


class TableView:
    """A results table that draws itself at any width."""

    def __init__(self, table: ResultsTable, width: int | None = None) -> None:
        """Take the table.

        Args:
            table: What to draw.
            width: Columns to use; the console's own when None.
        """
        self._table = table
        self._width = width

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the table, its warnings and its notes."""
        say: Say = (lambda text: text.translate(_ASCII)) if options.ascii_only else (lambda text: text)
        width = min(self._width or options.max_width, options.max_width)
        yield Text(say(f"Results of {self._table.experiment}"), style="bold")
        if self._table.rows:
            layout = _fitting(self._table, width, say)
            yield from _list(self._table, width, say) if layout is None else _grid(self._table, layout, say)
        elif self._table.hidden:
            yield Text("no model meets the filter")
        else:
            yield Text("no models yet: nothing was tuned or judged here")
            return
        told = preference_notes(self._table.preferences)
        yield from preference_texts(self._table.preferences, say)
        for line in self._table.warnings:
            yield Text(say(f"! {line}"), style="yellow")
        for line in self._table.notes:
            if line not in told:
                yield Text(say(line), style="dim")


def render_table(table: ResultsTable, width: int | None = None) -> TableView:
    """Return the table as something rich can print.

    Args:
        table: What to draw.
        width: Columns to use; the console's own when None.
    """
    return TableView(table, width)


def as_text(table: ResultsTable, width: int = _TEXT_WIDTH) -> str:
    """Return the table as plain text without colours.

    Args:
        table: What to draw.
        width: Columns to use.
    """
    file = StringIO()
    console = Console(file=file, width=width, color_system=None, force_terminal=False, legacy_windows=False)
    console.print(render_table(table, width))
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"


def _fitting(table: ResultsTable, width: int, say: Say) -> _Layout | None:
    """Return the first layout that fits and in which names are low, else that with most room for them, else None."""
    found: list[_Layout] = []
    plain = _plain_fields(table, say)
    wanted = max(cell_len(say(words)) for row in table.rows for words in (row.label, wording.status(row)))
    for beneath in (False, True):
        metrics = [_metric_field(column, table.rows, say, beneath=beneath) for column in _metrics(table)]
        for moved in range(len(MOVED_FIRST if beneath else _LEFT_OUT) + 1):
            away = MOVED_FIRST[:moved]
            fields = _in_order(table, [field for field in plain if field.name not in away], metrics)
            room = width - sum(field.width + _GAP for field in fields) - _GAP
            if room >= min(wanted, _MODEL_MIN):
                hidden = tuple(field for field in plain if field.name in away)
                found.append(_Layout(fields=fields, moved=hidden, model_width=min(room, _MODEL_MAX)))
                if wanted <= found[-1].model_width * _LOW:
                    return found[-1]
    return max(found, key=lambda layout: layout.model_width, default=None)


def _metrics(table: ResultsTable) -> list[Column]:
    chosen = table.arrangement.columns
    return [column for column in table.columns if not chosen or column.name in chosen]


def _in_order(table: ResultsTable, plain: Sequence[_Field], metrics: Sequence[_Field]) -> tuple[_Field, ...]:
    chosen = table.arrangement.columns
    if chosen:
        return tuple(sorted((*plain, *metrics), key=lambda field: chosen.index(field.name)))
    before = [field for field in plain if field.name in _BEFORE]
    return (*before, *metrics, *(field for field in plain if field.name not in _BEFORE))


def _plain_fields(table: ResultsTable, say: Say) -> list[_Field]:
    rows, chosen = table.rows, table.arrangement.columns
    fields = [
        _words("method", rows, lambda row: row.method or row.kind, lambda row: row.method or row.kind),
        _words("provider", rows, lambda row: row.provider, lambda row: row.provider),
        _words("precision", rows, lambda row: row.precision or wording.NOTHING, lambda row: row.precision),
        _words("prompt", rows, lambda row: row.policy, _policy_brief),
        _words("rows", rows, lambda row: wording.count(row.rows_trained), _rows_brief, left=False),
        _words(
            "n", rows, wording.asked, lambda row: f"n {wording.asked(row)}" if row.n is not None else "", left=False
        ),
        _words("training", rows, lambda row: wording.duration(row.train_s), _training_brief, left=False),
        _words("evaluation", rows, lambda row: wording.duration(row.eval_s), _nothing, left=False),
        _words("training_cost", rows, lambda row: wording.money(row.train_cost_usd), _nothing, left=False),
        _words("evaluation_cost", rows, lambda row: wording.money(row.eval_cost_usd), _nothing, left=False),
        _words("cost", rows, lambda row: wording.money(row.cost_usd), _cost_brief, left=False),
        _words("tokens/s", rows, _speed, _nothing, left=False),
    ]
    if chosen:
        fields = _chosen(table, fields)
    else:
        # The heads of the groups say it already.
        left_out = _idle(rows) | {table.arrangement.group}
        fields = [field for field in fields if field.name not in left_out]
    return [_said(field, say) for field in fields]


def _idle(rows: Sequence[ResultRow]) -> set[str]:
    """Return the columns that would tell nothing."""
    untold = idle(rows)
    if not any(row.tokens_per_s for row in rows):
        untold |= {"tokens/s"}
    # Where nothing was trained, or nothing cost anything, the sum says it all.
    if "training" in untold or not any(row.train_cost_usd or row.eval_cost_usd for row in rows):
        untold |= {"training_cost", "evaluation_cost"}
    return untold


def _chosen(table: ResultsTable, drawn: Sequence[_Field]) -> list[_Field]:
    """Return the columns that somebody asked for, metrics and the model's name left out."""
    by_name = {field.name: field for field in drawn}
    others = [field for field in usual(table) if field.column is None]
    return [
        by_name.get(field.name) or _words(field.name, table.rows, field.text, _nothing, left=not field.numeric)
        for field in others
    ]


def _words(
    name: str,
    rows: Sequence[ResultRow],
    cell: Callable[[ResultRow], str],
    brief: Callable[[ResultRow], str],
    *,
    left: bool = True,
) -> _Field:
    return _Field(
        name=name,
        head=tuple(name.split("_")),
        cells=tuple(Text(cell(row)) for row in rows),
        left=left,
        brief=tuple(brief(row) for row in rows),
    )


def _said(field: _Field, say: Say) -> _Field:
    cells = tuple(Text(say(cell.plain)) for cell in field.cells)
    return replace(field, cells=cells, brief=tuple(say(brief) for brief in field.brief))


def _nothing(_row: ResultRow) -> str:
    return ""


def _rows_brief(row: ResultRow) -> str:
    return "" if row.rows_trained is None else f"{row.rows_trained:,} rows"


def _training_brief(row: ResultRow) -> str:
    return "" if row.train_s is None else f"trained {wording.duration(row.train_s)}"


def _cost_brief(row: ResultRow) -> str:
    return "" if row.cost_usd is None else wording.money(row.cost_usd)


def _policy_brief(row: ResultRow) -> str:
    return "" if row.policy == "as-is" or row.label.endswith(f"({row.policy})") else f"prompt {row.policy}"


def _speed(row: ResultRow) -> str:
    return wording.NOTHING if row.tokens_per_s is None else f"{row.tokens_per_s:,.0f}"


def _metric_field(column: Column, rows: Sequence[ResultRow], say: Say, *, beneath: bool) -> _Field:
    cells = [row.cells.get(column.name, Cell()) for row in rows]
    values = [say("not computed" if cell.failure else wording.number(column, cell.value)) for cell in cells]
    signs = [say(wording.marks(cell)) for cell in cells]
    ends = [say(wording.interval(column, cell)) for cell in cells]
    value_width, sign_width, end_width = (max(map(cell_len, parts)) for parts in (values, signs, ends))
    # Where all numbers are equal a colour for ties would only draw the eye.
    starred = any(cell.best for cell in cells)
    drawn: list[Text] = []
    for cell, value, sign, end in zip(cells, values, signs, ends, strict=True):
        text = Text(f"{value:>{value_width}}", style=_style(cell, starred=starred))
        if sign_width:
            text.append(f" {sign:<{sign_width}}")
        if end_width:
            text.append("\n" if beneath else " ")
            text.append(f"{end:>{end_width}}", style="dim not bold")
        drawn.append(text)
    room = max(cell_len(line) for text in drawn for line in text.plain.split("\n"))
    return _Field(
        name=column.name, head=_wrapped([say(part) for part in wording.head(column)], room), cells=tuple(drawn)
    )


def _style(cell: Cell, *, starred: bool) -> str:
    if cell.best:
        return "bold green"
    return "green" if cell.tied and starred else "red" if cell.failure else ""


def _wrapped(parts: Sequence[str], room: int) -> tuple[str, ...]:
    """Set the parts of a head into lines of `room` columns, or of the longest part."""
    most = max(room, *map(cell_len, parts), 1)
    lines: list[str] = []
    for part in parts:
        if lines and cell_len(lines[-1]) + 1 + cell_len(part) <= most:
            lines[-1] += f" {part}"
        else:
            lines.append(part)
    return tuple(lines)


def _grid(table: ResultsTable, layout: _Layout, say: Say) -> Iterator[Table | Text]:
    grid = Table(box=SIMPLE_HEAD, padding=(0, _GAP - 1, 0, 0), pad_edge=False, show_edge=False)
    grid.add_column(
        "model",
        min_width=min(layout.model_width, _MODEL_MIN),
        max_width=layout.model_width,
        vertical="top",
        overflow="fold",
    )
    for field in layout.fields:
        head, width = "\n".join(field.head), field.width
        justify: JustifyMethod = "left" if field.left else "right"
        grid.add_column(head, justify=justify, no_wrap=True, min_width=width, vertical="top")
    heads, ends = _heads(table), _ends(table)
    for i, row in enumerate(table.rows):
        if i in heads:
            grid.add_row(Text(say(heads[i]), style="bold cyan"))
        briefs = [] if layout.beneath else layout.briefs(i)
        grid.add_row(_name(row, briefs, say), *(field.cells[i] for field in layout.fields), end_section=i in ends)
    yield grid
    yield Text("")
    if layout.beneath:
        alike: dict[str, list[str]] = {}
        for i, row in enumerate(table.rows):
            alike.setdefault(say(" · ").join(layout.briefs(i)), []).append(row.label)
        for brief, labels in alike.items():
            if brief:
                yield Text(say(f"{', '.join(labels)}: ") + brief, style="dim")
    shared = [field.brief[0] for field in layout.moved if field.uniform and field.brief[0]]
    if shared:
        yield Text(say("Every model: ") + say(" · ").join(shared), style="dim")


def _heads(table: ResultsTable) -> dict[int, str]:
    """Return the heads of the groups by the index of the row that they stand above."""
    starts = accumulate((len(section.rows) for section in table.sections), initial=0)
    return {start: section.title for start, section in zip(starts, table.sections, strict=False)}


def _ends(table: ResultsTable) -> set[int]:
    """Return the indices of the rows after which a line is left."""
    if table.sections:
        return {start - 1 for start in _heads(table)}
    if table.arrangement.sort:
        return set()
    return {i - 1 for i in range(1, len(table.rows)) if table.rows[i].kind != table.rows[i - 1].kind}


def _name(row: ResultRow, briefs: Sequence[str], say: Say) -> Text:
    text = Text(say(row.label), style="bold" if row.kind == "tuned" else "")
    if briefs:
        text.append("\n" + say(" · ").join(briefs), style="dim not bold")
    if not row.done:
        text.append("\n" + say(wording.status(row)), style=_state_style(row))
    return text


def _state_style(row: ResultRow) -> str:
    return "not bold red" if row.state in ("failed", "lost", "no scores") else "not bold yellow"


def _list(table: ResultsTable, width: int, say: Say) -> Iterator[Text]:
    """Draw each model as a short list."""
    plain = {field.name: field for field in _plain_fields(table, say)}
    columns = _metrics(table)
    metrics = [_metric_field(column, table.rows, say, beneath=False) for column in columns]
    names = [say(wording.short(column)) for column in columns]
    heads = _heads(table)
    order = ("method", "provider", "precision", "prompt", "rows", "n", "training", "cost", "tokens/s")
    for i, row in enumerate(table.rows):
        if i in heads:
            yield Text(say(("\n" if i else "") + heads[i]), style="bold cyan")
        yield _name(row, [], say)
        briefs = [plain[name].brief[i] for name in order if name in plain and plain[name].brief[i]]
        yield from packed(briefs, say(" · "), width)
        cells = [field.cells[i] if field.name in row.cells else None for field in metrics]
        yield from numbered(names, cells, width)
    yield Text("")
    full = [wording.title(column) for column in columns if column.unit or "(" in column.label]
    if full:
        yield Text(say(f"Metrics: {'; '.join(full)}."), style="dim")
