"""Instructions about capital and small letters."""

from __future__ import annotations

from broker.evaluation.ifeval.language import ENGLISH, response_language
from broker.evaluation.ifeval.relations import holds
from broker.evaluation.ifeval.tokens import word_tokens


def capital_word_frequency(response: str, *, capital_relation: str, capital_frequency: int) -> bool:
    """Say whether there are enough, or few enough, words without small letters; "I" and "A" are such words."""
    return holds(sum(token.isupper() for token in word_tokens(response)), capital_relation, capital_frequency)


def english_capital(response: str) -> bool:
    """Say whether the response is in English and has letters, but no small ones."""
    return response.isupper() and response_language(response, language=ENGLISH)


def english_lowercase(response: str) -> bool:
    """Say whether the response is in English and has letters, but no capital ones."""
    return response.islower() and response_language(response, language=ENGLISH)
