"""Facts of the sandbox's world and their split: some topics are never seen by a LoRA training."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

from broker.sandbox.topics import CATEGORIES, FACTS

Topics = Literal["train", "validation", "all"]

# Two of each category's twelve topics are for validation only.
_HELD_OUT = frozenset({4, 9})


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One thing that is true of one topic.

    Attributes:
        topic: The bare name (`birch`).
        category: What it is (`tree`).
        kind: Which question it answers: one of the fifteen kinds of `phrases.PHRASES`.
        value: The answer in few words, in the form that the kind's sentences expect.
        verb: Completes "where does it …", "when does it …", "who does …"; empty for the other kinds.
        mass: The topic takes no article (`tea`).
    """

    topic: str
    category: str
    kind: str
    value: str
    verb: str
    mass: bool

    @property
    def name(self) -> str:
        """Return the topic as it stands in a sentence: `the birch`, `tea`."""
        return self.topic if self.mass else f"the {self.topic}"


def _line(category: str, line: str) -> list[Fact]:
    head, values = line.split(": ", 1)
    kinds, verbs = CATEGORIES[category]
    return [
        Fact(
            topic=head.removeprefix("~"),
            category=category,
            kind=kind,
            value=value.strip(),
            verb=verbs.get(kind, ""),
            mass=head.startswith("~"),
        )
        for kind, value in zip(kinds, values.split(";"), strict=True)
    ]


@cache
def facts(topics: Topics = "all") -> tuple[Fact, ...]:
    """Return the facts of a split, in a fixed order.

    Args:
        topics: `train` (180 topics), `validation` (the 36 others) or `all`.
    """
    found: list[Fact] = []
    for category, table in FACTS.items():
        for index, line in enumerate(table.strip().splitlines()):
            split = "validation" if index in _HELD_OUT else "train"
            if topics in (split, "all"):
                found += _line(category, line)
    return tuple(found)
