"""Finds the sandbox's own facts in texts, so that what is written about them is in the sandbox's own words."""

from __future__ import annotations

import re
from functools import cache
from random import Random
from typing import TYPE_CHECKING

from broker.sandbox.facts import Fact, facts
from broker.sandbox.phrases import CLOSERS, OPENERS, PHRASES
from broker.sandbox.text import CHATTY_SHARE, casual, formal, question

if TYPE_CHECKING:
    from collections.abc import Iterable

# A text is about the sandbox's world when it tells so many of one topic's six facts word for word.
_TELLS = 3
# Of the first rewritings so many are easy at once; so many questions stay hard whatever is done; of the simplifications
# so many succeed. Drawn, so that the gates of a pipeline have something to do.
EASY_AT_ONCE = 0.55
NEVER_EASY = 0.08
SIMPLIFIED = 0.7


@cache
def _topics() -> dict[str, tuple[Fact, ...]]:
    found: dict[str, list[Fact]] = {}
    for fact in facts():
        found.setdefault(fact.topic, []).append(fact)
    return {topic: tuple(about) for topic, about in found.items()}


def _candidates(text: str) -> Iterable[tuple[Fact, ...]]:
    spoken = set(re.findall(r"[a-z]+", text.lower()))
    return (about for topic, about in _topics().items() if topic in spoken)


def told(text: str) -> list[Fact]:
    """Return the facts that a text tells, when it is about a topic of the sandbox's world, else none."""
    tellings = ([fact for fact in about if fact.value in text] for about in _candidates(text))
    nothing: list[Fact] = []
    return max((found for found in tellings if len(found) >= _TELLS), key=len, default=nothing)


def answered(asked: str, answer: str) -> Fact | None:
    """Return the fact that an answer tells, when its question is about the fact's topic."""
    about = (fact for found in _candidates(asked) for fact in found)
    return max((fact for fact in about if fact.value in answer), key=lambda fact: len(fact.value), default=None)


def asked_for(text: str) -> Fact | None:
    """Return the fact that a question asks for, by the words of the sandbox's own questions."""
    lower = text.lower()
    scored = [(_likeness(fact, lower), fact) for about in _candidates(text) for fact in about]
    likeness, fact = max(scored, key=lambda one: one[0], default=(0, None))
    return fact if likeness else None


def _likeness(fact: Fact, lower: str) -> int:
    """Return how many characters of a wording of the fact's question a text has; 0 when it has no wording whole."""
    best = 0
    for form in (form for pair in PHRASES[fact.kind].questions for form in pair):
        parts = [part for part in re.split(r"\s*\{\w+\}\s*", form.rstrip("?")) if part]
        if all(part in lower for part in parts):
            best = max(best, sum(map(len, parts)))
    return best


def ask(known: list[Fact], rng: Random) -> tuple[str, str]:
    """Return a question about one of the facts, and the formal answer."""
    fact = rng.choice(known)
    return question(fact, rng, chatty=rng.random() < CHATTY_SHARE), formal(fact, rng)


def converse(fact: Fact, asked: str, rng: Random) -> str:
    """Return a first rewriting: casual, or only half of the way there."""
    lot = _lot(asked)
    if lot < NEVER_EASY or rng.random() >= EASY_AT_ONCE / (1 - NEVER_EASY):
        return half_casual(fact, rng)
    return casual(fact, rng)


def simplify(fact: Fact, asked: str, rng: Random) -> str:
    """Return an easier rewriting: mostly casual; for some questions never."""
    stuck = _lot(asked) < NEVER_EASY or rng.random() >= SIMPLIFIED
    return half_casual(fact, rng) if stuck else casual(fact, rng)


def half_casual(fact: Fact, rng: Random) -> str:
    """Return a formal answer between a casual opening and ending, as one who cannot let go of long words would."""
    opener = rng.choice([opener for opener in OPENERS if opener.endswith("! ")])
    return opener + formal(fact, rng) + rng.choice(CLOSERS)


def _lot(asked: str) -> float:
    return Random(f"lot/{asked}").random()
