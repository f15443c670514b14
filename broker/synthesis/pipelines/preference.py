"""Pairs of a human-like and a formal answer to one prompt, as rows for DPO (arXiv 2501.05032).

A source row is a prompt (`prompt` or `question`), or a text from which a question is made first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from broker.evaluation.flesch import flesch
from broker.jobs.spec import RowFormat
from broker.providers.contract import Parameter
from broker.synthesis.flow import each
from broker.synthesis.pipeline import Options, Pipeline
from broker.synthesis.pipelines.qa import QUESTION
from broker.synthesis.rows import RejectedError
from broker.synthesis.steps import ANSWER, deduplicated

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker.synthesis.flow import Bench, Step
    from broker.synthesis.rows import Row


@each
async def take_prompt(row: Row, bench: Bench) -> Row:
    """Take the source's prompt, or have a question made of its text."""
    given = row.data.get("prompt") or row.data.get("question")
    if given:
        return row.having(question=str(given).strip())
    made = await bench.ask(row, "question", schema=QUESTION)
    return row.having(question=made["question"].strip())


@each
async def answer_twice(row: Row, bench: Bench) -> Row:
    """Have both answers made."""
    human = await bench.ask(row, "human-like", schema=ANSWER)
    formal = await bench.ask(row, "formal", schema=ANSWER)
    return row.having(human_like=human["answer"].strip(), formal=formal["answer"].strip())


@each
async def tell_apart(row: Row, bench: Bench) -> Row:
    """Reject a pair whose human-like answer is not easier to read by `min_gap` points of Flesch."""
    human, formal = [await bench.compute(flesch, str(row[name])) for name in ("human_like", "formal")]
    if human is None or formal is None:
        raise RejectedError("empty", "an answer has no word")
    row.trail.scores.update(flesch_preferred=human, flesch_non_preferred=formal)
    least = float(bench.options["min_gap"])
    if human - formal < least:
        raise RejectedError("alike", f"Flesch {human:.1f} and {formal:.1f}: less than {least:g} apart")
    return row


def steps(_options: Options) -> Sequence[Step]:
    """Return the steps in their order; near-duplicates go before the answers are paid for."""
    return [take_prompt, deduplicated("question"), answer_twice, tell_apart]


def write(row: Row) -> dict[str, Any]:
    """Return a row as OpenAI's preference format has it."""
    return {
        "input": {"messages": [{"role": "user", "content": row["question"]}]},
        "preferred_output": [{"role": "assistant", "content": row["human_like"]}],
        "non_preferred_output": [{"role": "assistant", "content": row["formal"]}],
    }


pipeline = Pipeline(
    name="preference",
    steps=steps,
    write=write,
    options=(
        Parameter(name="min_chars", types=("int",), default=0, minimum=0, help="Shortest source text, characters."),
        Parameter(name="min_gap", types=("float",), default=10.0, help="Least difference of the two answers' Flesch."),
        Parameter(
            name="max_cosine",
            types=("float",),
            default=0.8,
            minimum=-1,
            maximum=1,
            help="Largest cosine of a prompt with an accepted one.",
        ),
    ),
    prompts=("question", "human-like", "formal"),
    format=RowFormat.PREFERENCE,
    requests=(2, 3),
)
