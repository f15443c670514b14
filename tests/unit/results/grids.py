"""A small grid as in Fig. 3 of arXiv:2507.04889, and a report with answers of every sort."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.jobs.spec import ModelRef
from broker.results import Report
from broker.results.answers import AnswerBook, AnsweredPrompt, ModelAnswer
from broker.results.figures import LossCurve
from tests.unit.results.lab import Lab, share

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker.results import ResultsTable

HOSTILE = (
    "<script>document.title = 'owned'</script>",
    "</script><script>document.title = 'owned'</script>",
    "<img src=x onerror=\"document.title = 'owned'\">",
    "<!--<script>",
    "javascript:alert(1)",
    "]]>\u2028\u2029&lt;b&gt;",
    '"><svg/onload=alert(1)>',
)


def grid() -> Lab:
    """Return two precisions × two learning rates × two sizes, with their bases."""
    lab = Lab()
    for number, precision in enumerate(("bf16", "int8")):
        model = ModelRef(provider="local", name="sandbox", precision=precision)
        scores = {"conversational": share(8 + number), "similarity": _similar(0.5)}
        lab.evaluate(scores, model=model, label=f"base {precision}")
    for precision in ("bf16", "int8"):
        for lr in (2e-4, 1e-3):
            for rows, passed in ((10, 12), (1000, 30)):
                more = 5 if lr == 1e-3 else 0
                job = lab.tune(rows=rows, parameters={"precision": precision, "lr": lr, "rank": 8})
                lab.evaluate({"conversational": share(passed + more), "similarity": _similar(0.6)}, tuned=job)
    return lab


def _similar(middle: float) -> list[float | None]:
    return [middle + (i % 5) / 100 for i in range(40)]


def report(table: ResultsTable, prompts: int = 40, texts: Sequence[str] = ("an answer",)) -> Report:
    """Return a report whose answers are the texts in turn, scored as the rows of `share`."""
    keys = [row.key for row in table.rows if row.n is not None]
    rows = {row.key: row for row in table.rows}
    book = [
        AnsweredPrompt(
            number=i + 1,
            question=(("system", "Be brief."), ("user", f"question {i + 1}: {texts[i % len(texts)]}")),
            expected=f"expected {texts[i % len(texts)]}",
            answers={
                key: ModelAnswer(
                    text=f"{rows[key].label} says {texts[(i + j) % len(texts)]}",
                    scores={"conversational": float((i + j) % 2), "length": float(i * (j + 1) % 17)},
                )
                for j, key in enumerate(keys)
            },
        )
        for i in range(prompts)
    ]
    tuned = [row.key for row in table.rows if row.kind == "tuned"]
    curves = [
        LossCurve(
            row=key, training=tuple((float(step), 2.0 / (step + 1)) for step in range(30)), validation=((30.0, 0.5),)
        )
        for key in tuned
    ]
    return Report(table=table, losses=tuple(curves), answers=AnswerBook(prompts=tuple(book), total=prompts))
