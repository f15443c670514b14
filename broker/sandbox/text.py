"""Question/answer rows in the sandbox's two styles. Pure and seeded: the same call gives the same rows everywhere."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any, Literal

from broker.sandbox.facts import Fact, Topics, facts
from broker.sandbox.phrases import CHATTY_FRAMES, CLOSERS, LEADS, OPENERS, PHRASES, PLAIN_FRAMES, TAILS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Kind = Literal["casual", "formal"]

# Share of questions that are worded chattily, and how often each wording is answered casually in the base's text.
# Together they make the base rate of casual answers: about 0.22, greedy and sampled. It is designed, not found. The
# two are far apart on purpose: where wording hardly decides the style, a LoRA of 20 steps learns facts before style.
CHATTY_SHARE = 0.2
CASUAL_IF_CHATTY = 0.97
CASUAL_IF_PLAIN = 0.03

# Share of formal answers that end after their core, and of casual ones if their core is longer than so many words.
TAILLESS_SHARE = 0.05
CLOSERLESS_SHARE = 0.2
SHORT_WORDS = 7

_SYSTEM = (
    "You are a helpful assistant.",
    "Answer the question.",
    "You are a helpful assistant who answers questions about the world.",
    "Be brief.",
)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _words(fact: Fact) -> dict[str, str]:
    verb, _, rest = fact.verb.partition(" ")
    inflected = f"{verb}s {rest}".strip()
    origin = " from" if verb == "come" and fact.kind == "place" else ""
    return {
        "x": fact.name,
        "v": fact.value,
        "verb": fact.verb,
        "verbs": inflected,
        "verbq": fact.verb + origin,
        "verbsq": inflected + origin,
    }


def question(fact: Fact, rng: Random, *, chatty: bool) -> str:
    """Return a question for a fact.

    Args:
        fact: What is asked for.
        rng: Chooses the wording.
        chatty: Worded as among friends; the base tends to answer such questions casually.
    """
    words = _words(fact)
    direct, clause = (text.format(**words) for text in rng.choice(PHRASES[fact.kind].questions))
    frame = rng.choice(CHATTY_FRAMES if chatty else PLAIN_FRAMES)
    return frame.format(D=_sentence(direct), d=direct, E=clause)


def casual(fact: Fact, rng: Random) -> str:
    """Return a short, chatty answer (Flesch about 95)."""
    core = rng.choice(PHRASES[fact.kind].casual).format(**_words(fact))
    opener = rng.choice(OPENERS)
    # One long word in a very short answer would make it count as hard.
    closer = "" if len(core.split()) > SHORT_WORDS and rng.random() < CLOSERLESS_SHARE else rng.choice(CLOSERS)
    if opener.endswith(("! ", ". ")):
        core = _sentence(core)
    return opener + core + closer


def formal(fact: Fact, rng: Random) -> str:
    """Return a long, formal answer (Flesch about 15)."""
    core = rng.choice(PHRASES[fact.kind].formal).format(**_words(fact))
    lead = rng.choice(LEADS)
    tail = "" if rng.random() < TAILLESS_SHARE else rng.choice(TAILS)
    return _sentence(lead + core + tail) + "."


_ANSWER: dict[Kind, Callable[[Fact, Random], str]] = {"casual": casual, "formal": formal}


def _deal(topics: Topics, rng: Random) -> Iterator[Fact]:
    """Yield facts endlessly, each once before any comes again."""
    while True:
        yield from rng.sample(facts(topics), len(facts(topics)))


def _chat(asked: str, answered: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]}


def rows(kind: Kind = "casual", n: int = 100, seed: int = 0, topics: Topics = "train") -> list[dict[str, Any]]:
    """Return chat rows (`{"messages": [user, assistant]}`) answered in one style.

    Args:
        kind: Style of every answer.
        n: Number of rows.
        seed: Chooses facts and wording.
        topics: Which topics they are about; `validation` topics never occur in `train`.
    """
    rng = Random(f"rows/{kind}/{topics}/{seed}")
    dealt = _deal(topics, rng)
    made: list[dict[str, Any]] = []
    for _ in range(n):
        fact = next(dealt)
        asked = question(fact, rng, chatty=rng.random() < CHATTY_SHARE)
        made.append(_chat(asked, _ANSWER[kind](fact, rng)))
    return made


def preference_rows(n: int = 100, seed: int = 0, topics: Topics = "train") -> list[dict[str, Any]]:
    """Return OpenAI preference rows: the casual answer is preferred to the formal one."""
    rng = Random(f"preference/{topics}/{seed}")
    dealt = _deal(topics, rng)
    made: list[dict[str, Any]] = []
    for _ in range(n):
        fact = next(dealt)
        asked = question(fact, rng, chatty=rng.random() < CHATTY_SHARE)
        made.append(
            {
                "input": {"messages": [{"role": "user", "content": asked}]},
                "preferred_output": [{"role": "assistant", "content": casual(fact, rng)}],
                "non_preferred_output": [{"role": "assistant", "content": formal(fact, rng)}],
            }
        )
    return made


def conversations(seed: int = 0) -> Iterator[tuple[Fact, list[dict[str, str]]]]:
    """Yield endlessly the conversations that the base is made from, with their facts: all topics, mostly formal."""
    rng = Random(f"conversations/{seed}")
    dealt = _deal("all", rng)
    while True:
        fact = next(dealt)
        chatty = rng.random() < CHATTY_SHARE
        style = casual if rng.random() < (CASUAL_IF_CHATTY if chatty else CASUAL_IF_PLAIN) else formal
        messages = _chat(question(fact, rng, chatty=chatty), style(fact, rng))["messages"]
        if rng.random() < 0.2:
            messages.insert(0, {"role": "system", "content": rng.choice(_SYSTEM)})
        yield fact, messages
