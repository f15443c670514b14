"""Questions and conversational answers from source texts, as in arXiv 2507.04889, 2.2 and A.1.

Sections of at least 700 characters, shuffled; a question with its answer; the answer said again conversationally; a
gate of Flesch reading ease ≥ 75 with up to three simplifications; questions too much like an earlier one left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.providers.contract import Parameter
from broker.synthesis.flow import each
from broker.synthesis.pipeline import Options, Pipeline
from broker.synthesis.steps import ANSWER, deduplicated, readable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker.synthesis.flow import Bench, Step
    from broker.synthesis.rows import Row

QUESTION = {
    "type": "object",
    "properties": {"question": {"type": "string"}, "answer": {"type": "string"}},
    "required": ["question", "answer"],
    "additionalProperties": False,
}


@each
async def ask_question(row: Row, bench: Bench) -> Row:
    """Have a question and its answer made of the source text."""
    made = await bench.ask(row, "question", schema=QUESTION)
    return row.having(question=made["question"].strip(), answer=made["answer"].strip(), plain_answer=made["answer"])


@each
async def rephrase(row: Row, bench: Bench) -> Row:
    """Have the answer said again in a conversational tone."""
    made = await bench.ask(row, "conversational", schema=ANSWER)
    return row.having(answer=made["answer"].strip())


def steps(_options: Options) -> Sequence[Step]:
    """Return the paper's steps in their order."""
    return [ask_question, rephrase, readable("answer"), deduplicated("question")]


pipeline = Pipeline(
    name="qa",
    steps=steps,
    options=(
        Parameter(name="min_chars", types=("int",), default=700, minimum=0, help="Shortest source text, characters."),
        Parameter(name="min_flesch", types=("float",), default=75.0, help="Least Flesch reading ease of an answer."),
        Parameter(name="simplifications", types=("int",), default=3, minimum=0, help="Tries to get there."),
        Parameter(
            name="max_cosine",
            types=("float",),
            default=0.8,
            minimum=-1,
            maximum=1,
            help="Largest cosine of a question with an accepted one.",
        ),
    ),
    prompts=("question", "conversational", "simplify"),
    requests=(2, 5),
)
