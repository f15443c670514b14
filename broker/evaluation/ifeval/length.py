"""Instructions about how long a response is: sentences, paragraphs, words."""

from __future__ import annotations

import re

from broker.evaluation.ifeval.relations import holds
from broker.evaluation.ifeval.tokens import count_sentences, count_words

_DIVIDER = re.compile(r"\s?\*\*\*\s?")
_ENDS_WORD = re.compile(r"[.,?!'\"]")


def number_sentences(response: str, *, relation: str, num_sentences: int) -> bool:
    """Say whether there are enough, or few enough, sentences."""
    return holds(count_sentences(response), relation, num_sentences)


def number_words(response: str, *, relation: str, num_words: int) -> bool:
    """Say whether there are enough, or few enough, words."""
    return holds(count_words(response), relation, num_words)


def number_paragraphs(response: str, *, num_paragraphs: int) -> bool:
    """Say whether dividers of three asterisks make exactly so many paragraphs.

    A divider may stand before the first and after the last one; nothing between two dividers fails, whatever the
    count.
    """
    first, *others = [bool(paragraph.strip()) for paragraph in _DIVIDER.split(response)]
    if not all(others[:-1]):
        return False
    return first + sum(others) == num_paragraphs


def nth_paragraph_first_word(response: str, *, num_paragraphs: int, nth_paragraph: int, first_word: str) -> bool:
    """Say whether blank lines make exactly so many paragraphs, of which one begins with a word.

    Empty paragraphs do not count towards the number, but they do towards the place. The word ends at the first
    punctuation mark or white space; quotation marks before it are passed over.
    """
    paragraphs = response.split("\n\n")
    filled = sum(bool(paragraph.strip()) for paragraph in paragraphs)
    if filled != num_paragraphs or nth_paragraph > filled:
        return False
    words = paragraphs[nth_paragraph - 1].split()
    if not words:
        return False
    found = _ENDS_WORD.split(words[0].lstrip("'").lstrip('"'))[0]
    # Letter by letter: the capital sigma at the end of a word would become another letter.
    return "".join(map(str.lower, found)) == first_word.lower()
