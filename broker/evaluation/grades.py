"""SMOG and Gunning Fog: how many years of school a text asks for. Lower is easier.

Both count as Flesch does here (`broker.evaluation.flesch`): the same evened text, sentences, words and syllables.
"""

from __future__ import annotations

import re
from math import sqrt
from typing import TYPE_CHECKING

from broker.evaluation.flesch import flesch_version, plain, syllables_of, words_of
from broker.evaluation.metrics import Direction, MetricContext, RowMetric
from broker.evaluation.readability import english_only
from broker.evaluation.sentences import split_sentences

if TYPE_CHECKING:
    from collections.abc import Iterable

# Syllables of a long word, in both formulas.
LONG = 3
# With fewer sentences the square root of SMOG says more about chance than about the text.
SMOG_SENTENCES = 3
# Counts up whenever a grade changes for another reason than its counts.
GRADES_VERSION = 1

# Endings that add a syllable of their own: "create-d", "box-es", "begin-ning".
_INFLECTED = re.compile(r"(?:[td]ed|(?:[sxzcg]|[cs]h)es|ing)$")
_EDGES = re.compile(r"^\W+|\W+$")


def smog_grade(text: str) -> float | None:
    """Score a text by SMOG.

    Args:
        text: Any text.

    Returns:
        3.1291 + 1.0430 * sqrt(words of three and more syllables * 30 / sentences): years of school that full
        understanding asks for. None for fewer than `SMOG_SENTENCES` sentences.

    Source: McLaughlin, SMOG Grading: a New Readability Formula, Journal of Reading 12:639 (1969). It was made for 30
    sentences; with fewer it serves to compare texts, not to name a school year.
    """
    sentences = split_sentences(plain(text))
    if len(sentences) < SMOG_SENTENCES:
        return None
    long = sum(syllables_of(word) >= LONG for sentence in sentences for word in words_of(sentence))
    return 3.1291 + 1.0430 * sqrt(long * 30 / len(sentences))


def fog_index(text: str) -> float | None:
    """Score a text by Gunning's Fog.

    Args:
        text: Any text.

    Returns:
        0.4 * (words per sentence + 100 * hard words / words): years of school. Hard are words of three and more
        syllables, but for names (a capital within a sentence), compounds of short parts ("state-of-the-art"), and words
        that have the third syllable from -ed, -es or -ing only. None for a text without words.

    Source: Gunning, The Technique of Clear Writing (1952), chapter 4.
    """
    sentences = [words_of(sentence) for sentence in split_sentences(plain(text))]
    if not sentences:
        return None
    words = sum(map(len, sentences))
    return 0.4 * (words / len(sentences) + 100 * sum(_hard(sentence) for sentence in sentences) / words)


def _hard(sentence: Iterable[str]) -> int:
    """Return the number of hard words in a sentence; its first word is judged without its capital."""
    bare = [_EDGES.sub("", word) for word in sentence]
    return sum(_is_hard(word) for i, word in enumerate(bare) if i == 0 or not word[:1].isupper())


def _is_hard(word: str) -> bool:
    longest = max(syllables_of(part) for part in word.split("-") if part) if "-" in word else syllables_of(word)
    if longest < LONG:
        return False
    return not (longest == LONG and _INFLECTED.search(word.lower()))


def smog(_context: MetricContext, _argument: str = "") -> RowMetric:
    """Make the mean SMOG grade; answers of fewer than three sentences have none and are counted as not scored."""
    return RowMetric(
        function=lambda row: smog_grade(row.answer),
        name="smog",
        label="SMOG",
        unit="",
        direction=Direction.LOWER,
        version=_version(),
        remark=english_only("SMOG grades"),
    )


def fog(_context: MetricContext, _argument: str = "") -> RowMetric:
    """Make the mean Gunning Fog index; answers without words have none and are counted as not scored."""
    return RowMetric(
        function=lambda row: fog_index(row.answer),
        name="fog",
        label="Gunning Fog",
        unit="",
        direction=Direction.LOWER,
        version=_version(),
        remark=english_only("Fog indices"),
    )


def _version() -> str:
    return f"grades {GRADES_VERSION}, {flesch_version()}"
