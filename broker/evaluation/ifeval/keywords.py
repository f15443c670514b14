"""Instructions about words and letters that must, or must not, occur.

Words are regular expressions to the published checkers, and are found within longer words too ("art" in "heart"), but
for forbidden ones, which must stand alone. A word that is no regular expression raises `re.error`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from broker.evaluation.ifeval.relations import holds

if TYPE_CHECKING:
    from collections.abc import Sequence


def existence(response: str, *, keywords: Sequence[str]) -> bool:
    """Say whether every keyword occurs, in any case."""
    return all(re.search(keyword, response, flags=re.IGNORECASE) for keyword in keywords)


def frequency(response: str, *, keyword: str, frequency: int, relation: str) -> bool:
    """Say whether a keyword occurs often, or seldom, enough, in any case."""
    found = len(re.findall(keyword.strip(), response, flags=re.IGNORECASE))
    return holds(found, relation, frequency)


def forbidden_words(response: str, *, forbidden_words: Sequence[str]) -> bool:
    """Say whether none of the words stands in the response as a whole word, in any case."""
    return not any(re.search(rf"\b{word}\b", response, flags=re.IGNORECASE) for word in forbidden_words)


def letter_frequency(response: str, *, letter: str, let_frequency: int, let_relation: str) -> bool:
    """Say whether a letter, or any other single character, occurs often, or seldom, enough, in any case."""
    return holds(response.lower().count(letter.strip().lower()), let_relation, let_frequency)
