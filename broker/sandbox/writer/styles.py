"""Two answers to one prompt: as a person would say it, and as an office would write it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.sandbox.text import casual, formal
from broker.sandbox.writer.prose import names, subjects
from broker.sandbox.writer.words import CLOSERS, OPENERS
from broker.sandbox.writer.world import asked_for

if TYPE_CHECKING:
    from random import Random

_HUMAN = (
    "I'd start small with {a} and see how it goes.",
    "For me {a} is mostly a matter of {b}.",
    "I once got {a} all wrong, and it was {b} that saved me.",
    "If you ask me, look at {b} first, then {a} gets a lot less scary.",
    "You don't need to know all of {a}. A bit of {b} is plenty.",
    "Most folks I know just try {a} and learn as they go.",
    "Honestly, {b} does half the work.",
    "Take your time with {a}. Nobody gets it right at once.",
)
_FORMAL = (
    "With regard to {a}, it is advisable to proceed systematically and to take {b} into careful consideration.",
    "The relationship between {a} and {b} has been the subject of considerable professional discussion.",
    "An appropriate assessment of {a} necessarily presupposes a comprehensive understanding of {b}.",
    "It should furthermore be noted that individual circumstances may significantly influence {a}.",
    "In the majority of cases, a structured examination of {b} facilitates a satisfactory conclusion.",
    "Additional information concerning {a} can be obtained from the specialised literature.",
    "Particular attention is customarily devoted to {b} before any definitive recommendation regarding {a} is issued.",
)

_ASKING_WORDS = """
advise ask avoid buy choose decide describe does explain find get give handle help improve know learn like make need
please recommend say share start suggest tell think understand use want way ways write
"""
_ASKING = frozenset(_ASKING_WORDS.split())


def human_like(prompt: str, rng: Random) -> str:
    """Return a short, personal answer in plain words; about the sandbox's world in its casual words."""
    fact = asked_for(prompt)
    if fact is not None:
        return casual(fact, rng)
    return rng.choice(OPENERS) + " ".join(_about(prompt, _HUMAN, 3, rng)) + rng.choice(CLOSERS)


def stiff(prompt: str, rng: Random) -> str:
    """Return a long, impersonal answer; about the sandbox's world in its formal words."""
    fact = asked_for(prompt)
    return formal(fact, rng) if fact is not None else " ".join(_about(prompt, _FORMAL, 3, rng))


def _about(prompt: str, said: tuple[str, ...], count: int, rng: Random) -> list[str]:
    things = [word for word in subjects(prompt, 6) if word not in _ASKING]
    named = list(dict.fromkeys([*names(prompt)[:2], *things])) or ["this"]
    first, second = rng.sample(named[:4], 2) if len(named) > 1 else (named[0], "practice")
    return [line.format(a=first, b=second) for line in rng.sample(said, count)]
