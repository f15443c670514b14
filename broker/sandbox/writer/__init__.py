"""The sandbox's writer: an offline stand-in for a large model that writes synthesis answers by rules.

It understands nothing. A prompt names its task in its first line (`Task: question`) and carries its parts under titles
(`### Text`); the answer is put together from the prompt's own sentences, from lists, and, for texts about the sandbox's
world, from the sandbox's own wording. The same prompt and seed give the same answer everywhere. No model, no network.
"""

from __future__ import annotations

import hashlib
import json
from random import Random
from typing import TYPE_CHECKING, Any

from broker.sandbox.writer import judging, people, questions, rewriting, styles, world
from broker.sandbox.writer.prompts import Prompt, read_prompt
from broker.sandbox.writer.schema import fit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

NAME = "sandbox-writer"
_OTHER = (
    "I am the sandbox's writer and work by rules. The first line must name a task, such as 'Task: question'; "
    "I know: {names}."
)


def write(prompt: str, *, seed: int = 0, schema: Mapping[str, Any] | None = None) -> str:
    """Answer a prompt.

    Args:
        prompt: The user's message.
        seed: Another seed gives another answer, as another draw of a model would.
        schema: JSON schema that the answer must fit.

    Returns:
        JSON for a task of `TASKS`, and whenever there is a schema; otherwise a sentence that says what this is.
    """
    read = read_prompt(prompt)
    rng = Random(hashlib.sha256(f"{seed}\0{prompt}".encode()).digest())
    task = TASKS.get(read.task)
    if task is None and schema is None:
        return _OTHER.format(names=", ".join(TASKS))
    said = task(read, rng) if task else {"answer": _OTHER.format(names=", ".join(TASKS))}
    return json.dumps(fit(said, schema) if schema else said, ensure_ascii=False)


def _question(prompt: Prompt, rng: Random) -> dict[str, Any]:
    text = prompt.section("text")
    known = world.told(text)
    asked, answer = world.ask(known, rng) if known else questions.ask(text, rng)
    return {"question": asked, "answer": answer}


def _conversational(prompt: Prompt, rng: Random) -> dict[str, Any]:
    asked, answer = prompt.section("question"), prompt.section("answer")
    fact = world.answered(asked, answer)
    return {"answer": world.converse(fact, asked, rng) if fact else rewriting.converse(answer, rng)}


def _simplify(prompt: Prompt, rng: Random) -> dict[str, Any]:
    asked, answer = prompt.section("question"), prompt.section("answer")
    fact = world.answered(asked, answer)
    return {"answer": world.simplify(fact, asked, rng) if fact else rewriting.simplify(answer, rng)}


def _human_like(prompt: Prompt, rng: Random) -> dict[str, Any]:
    return {"answer": styles.human_like(prompt.section("prompt", "question"), rng)}


def _formal(prompt: Prompt, rng: Random) -> dict[str, Any]:
    return {"answer": styles.stiff(prompt.section("prompt", "question"), rng)}


def _personas(prompt: Prompt, rng: Random) -> dict[str, Any]:
    return people.personas(prompt.section("domain"), prompt.number("count", 5), prompt.section("already there"), rng)


def _scenarios(prompt: Prompt, rng: Random) -> dict[str, Any]:
    return people.scenarios(prompt.section("domain"), prompt.number("count", 5), prompt.section("already there"), rng)


def _conversation(prompt: Prompt, rng: Random) -> dict[str, Any]:
    domain, persona, scenario = (prompt.section(title) for title in ("domain", "persona", "scenario"))
    return people.conversation(domain, persona, scenario, prompt.number("turns", 6), rng)


def _judge(prompt: Prompt, rng: Random) -> dict[str, Any]:
    asked, answer, expected, rubric = (prompt.section(one) for one in ("question", "answer", "expected", "rubric"))
    return judging.judge(asked, answer, expected, rubric, rng)


def _pairwise(prompt: Prompt, _rng: Random) -> dict[str, Any]:
    asked, first, second = (prompt.section(title) for title in ("question", "answer a", "answer b"))
    return judging.compare(asked, first, second)


TASKS: Mapping[str, Callable[[Prompt, Random], dict[str, Any]]] = {
    "question": _question,
    "conversational": _conversational,
    "simplify": _simplify,
    "human-like": _human_like,
    "formal": _formal,
    "personas": _personas,
    "scenarios": _scenarios,
    "conversation": _conversation,
    "judge": _judge,
    "pairwise": _pairwise,
}

__all__ = ["NAME", "TASKS", "write"]
