"""Source texts about the sandbox's world, as an encyclopaedia would have them: what synthesis begins with, offline."""

from __future__ import annotations

from itertools import groupby
from random import Random
from typing import TYPE_CHECKING

from broker.sandbox.facts import Fact, Topics, facts
from broker.sandbox.text import formal

if TYPE_CHECKING:
    from collections.abc import Iterator

# The paper's shortest section (arXiv 2507.04889, 2.2).
SHORTEST = 700

_FIRST = (
    "{X} occupies a recognised place among the subjects that are conventionally classified under the heading of {c}.",
    "{X} belongs to the category that reference works ordinarily designate as {c}.",
    "Under the general heading of {c}, {x} is discussed in practically every reference work.",
    "This entry is concerned with {x}, which is customarily assigned to the category of {c}.",
)
_LAST = (
    "Further particulars concerning {x} are to be obtained from the specialised literature on {c}.",
    "The present summary of {x} is necessarily restricted to the most generally accepted observations.",
    "A more comprehensive treatment of {x} would considerably exceed the limitations of this entry.",
    "Additional investigations concerning {x} are occasionally announced, but their conclusions remain provisional.",
    "Comparable entries have been prepared for the other members of the category {c}.",
)


def source_sections(n: int = 100, seed: int = 0, topics: Topics = "train") -> list[dict[str, str]]:
    """Return formal sections of at least 700 characters, each about one topic and telling all its facts.

    Args:
        n: Number of sections. Beyond the number of topics, topics come again in other words.
        seed: Chooses topics, order and wording.
        topics: Which topics they are about; `validation` topics never occur in `train`.

    Returns:
        `{"title", "text"}` each.
    """
    rng = Random(f"sections/{topics}/{seed}")
    dealt = _deal(topics, rng)
    return [_section(next(dealt), rng) for _ in range(n)]


def _deal(topics: Topics, rng: Random) -> Iterator[list[Fact]]:
    """Yield the facts of one topic after the other, each topic once before any comes again."""
    by_topic = [list(group) for _, group in groupby(facts(topics), key=lambda fact: fact.topic)]
    while True:
        yield from rng.sample(by_topic, len(by_topic))


def _section(about: list[Fact], rng: Random) -> dict[str, str]:
    first = about[0]
    name = {"x": first.name, "X": first.name[:1].upper() + first.name[1:], "c": first.category}
    told = [formal(fact, rng) for fact in rng.sample(about, len(about))]
    lines = [rng.choice(_FIRST).format(**name), *told]
    for line in rng.sample(_LAST, len(_LAST)):
        if len(" ".join(lines)) >= SHORTEST:
            break
        lines.append(line.format(**name))
    return {"title": first.topic.capitalize(), "text": " ".join(lines)}
