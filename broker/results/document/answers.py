"""The answers on the page: JSON for the script, and the frame that it fills in."""

from __future__ import annotations

import json
from html import escape
from typing import TYPE_CHECKING, Any

from broker.evaluation.metrics import Direction, Kind
from broker.results import wording
from broker.results.figures.making import main_metric

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker.results.answers import AnsweredPrompt, ModelAnswer
    from broker.results.report import Report
    from broker.results.values import Column, ResultRow, ResultsTable

# So many answers stand side by side at first.
_SIDE_BY_SIDE = 4
_ORDERS = (
    ("worst", "worst first"),
    ("changed", "most changed from base"),
    ("worsened", "most worsened"),
    ("improved", "most improved"),
    ("number", "as in the validation set"),
)


def answer_section(report: Report) -> str:
    """Return the browser of answers; a sentence where there are none."""
    book = report.answers
    if not book.prompts:
        return '<p class="muted">No answers are on this page.</p>'
    orders = "".join(f'<option value="{value}">{escape(words)}</option>' for value, words in _ORDERS)
    return (
        f"{_told(report)}"
        '<noscript><p class="muted">Reading answers here needs the page\'s script.</p></noscript>'
        '<div id="browser" hidden><div class="tools">'
        f'<label>order <select id="order">{orders}</select></label>'
        '<label>by <select id="metric"></select></label>'
        '<label class="grow">search <input type="search" id="search" placeholder="in questions and answers"></label>'
        '<details id="chooser"><summary></summary><div class="choices"></div></details></div>'
        '<div class="split"><div class="index"><ol id="index" aria-label="Prompts"></ol>'
        '<p class="pages"><button type="button" id="earlier" aria-label="Earlier prompts">&lsaquo;</button>'
        '<span id="pages"></span>'
        '<button type="button" id="later" aria-label="Later prompts">&rsaquo;</button></p></div>'
        '<div class="reader"><p class="steps"><button type="button" id="previous">← previous <kbd>k</kbd></button>'
        '<span id="place" role="status"></span><button type="button" id="next">next <kbd>j</kbd> →</button></p>'
        '<article id="prompt"></article></div></div></div>'
        f'<script type="application/json" id="data">{embedded(_data(report))}</script>'
    )


def embedded(data: Any) -> str:
    """Return JSON that may stand in a script element: nothing in it ends the element or begins another."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _told(report: Report) -> str:
    kept, total = len(report.answers.prompts), report.answers.total
    if kept == total:
        return f'<p class="muted">All {total:,} prompts, with the answers of every model.</p>'
    return (
        f'<p class="muted">{kept:,} of {total:,} prompts: by each metric in turn the worst and the most changed. '
        f"<code>broker results {escape(report.table.experiment)} --html --answers {total}</code> takes more.</p>"
    )


def _data(report: Report) -> dict[str, Any]:
    answered = {key for prompt in report.answers.prompts for key in prompt.answers}
    rows = [row for row in report.table.rows if row.key in answered]
    keys = [row.key for row in rows]
    columns = sorted(report.metrics, key=lambda column: column.direction is Direction.NONE)
    return {
        "models": [_model(row, keys) for row in rows],
        "metrics": [_metric(column) for column in columns],
        "first": first_shown(report.table, rows),
        "prompts": [_prompt(prompt, keys, columns) for prompt in report.answers.prompts],
    }


def first_shown(table: ResultsTable, rows: Sequence[ResultRow]) -> list[int]:
    """Return which models stand side by side at first: a few of the best by the main metric, with the best's base.

    Args:
        table: Knows the metric.
        rows: The models that have answers, in the order of the page.
    """
    column = main_metric(table)
    if len(rows) <= _SIDE_BY_SIDE or column is None:
        return list(range(len(rows)))
    sign = 1.0 if column.direction is Direction.LOWER else -1.0

    def place(index: int) -> float:
        cell = rows[index].cells.get(column.name)
        return sign * cell.value if cell is not None and cell.value is not None else float("inf")

    keys = [row.key for row in rows]
    tuned = sorted((i for i, row in enumerate(rows) if row.kind == "tuned"), key=place)
    bases = [keys.index(key) for i in tuned[:1] for key in rows[i].bases[:1] if key in keys]
    return sorted(dict.fromkeys([*bases, *tuned, *range(len(rows))]), key=[*bases, *tuned, *range(len(rows))].index)[
        :_SIDE_BY_SIDE
    ]


def _model(row: ResultRow, keys: Sequence[str]) -> dict[str, Any]:
    base = next((keys.index(key) for key in row.bases if key in keys), None)
    return {"label": row.label, "tuned": row.kind == "tuned", "base": base}


def _metric(column: Column) -> dict[str, Any]:
    name, *_ = wording.head(column)
    sign = {Direction.HIGHER: 1, Direction.LOWER: -1, Direction.NONE: 0}[column.direction]
    return {"label": name, "sign": sign, "places": column.decimals, "yes": column.kind is Kind.PROPORTION}


def _prompt(prompt: AnsweredPrompt, keys: Sequence[str], columns: Sequence[Column]) -> list[Any]:
    answers = [_answer(prompt.answers.get(key), columns) for key in keys]
    return [prompt.number, [list(message) for message in prompt.question], prompt.expected, answers]


def _answer(answer: ModelAnswer | None, columns: Sequence[Column]) -> list[Any] | None:
    if answer is None:
        return None
    scores = [_rounded(answer.scores.get(column.name)) for column in columns]
    return [answer.text, answer.failure, int(answer.cut), scores]


def _rounded(score: float | None) -> float | None:
    return None if score is None else round(score, 4)
