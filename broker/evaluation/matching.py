"""Metrics that compare or count text without a model: length, exact match, extracted-answer match."""

from __future__ import annotations

import re
import string
from fractions import Fraction

from broker.evaluation.metrics import Direction, Kind, MetricContext, RowMetric, Scored

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation + "“”\u2018\u2019…—–")
_BOXED = re.compile(r"\\boxed\{([^{}]*(?:\{[^{}]*\}[^{}]*)*)\}")
_HASHES = re.compile(r"####\s*(.+)")
_SAID = re.compile(r"\b(?:final answer|answer)\s*(?:is|:)\s*:?\s*(.+)", re.IGNORECASE)
_SENTENCE_END = re.compile(r"\.(?:\s|$)")
_NUMBER = re.compile(r"[-+]?(?:\d[\d,]*(?:\.\d+)?|\.\d+)(?:/\d+)?")
_NUMERIC = re.compile(rf"[$€£]?\s*({_NUMBER.pattern})\s*[%$€£]?\.?")


def length(_context: MetricContext, _argument: str = "") -> RowMetric:
    """Make the mean length of the answers in words (runs of text between white space); an empty answer has 0."""
    return RowMetric(
        function=lambda row: len(row.answer.split()),
        name="length",
        label="length",
        unit="words",
        direction=Direction.NONE,
        version="words between white space",
    )


def exact_match(_context: MetricContext, _argument: str = "") -> RowMetric:
    """Make the percentage of answers equal to the expected one, but for case, punctuation, articles and white space."""
    return RowMetric(
        function=lambda row: _compared(row, normalised(row.answer) == normalised(row.expected)),
        name="exact-match",
        label="exact match",
        unit="%",
        kind=Kind.PROPORTION,
        needs=("expected",),
    )


def extracted_match(_context: MetricContext, _argument: str = "") -> RowMetric:
    """Make the percentage of answers whose final answer equals the expected one's (see `extract`)."""
    return RowMetric(
        function=lambda row: _compared(row, same(extract(row.answer), extract(row.expected))),
        name="extracted-match",
        label="extracted answer",
        unit="%",
        kind=Kind.PROPORTION,
        needs=("expected",),
    )


def normalised(text: str) -> str:
    """Return the text in lower case without punctuation, articles and extra white space (as SQuAD's scorer does)."""
    bare = text.casefold().translate(_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", bare).split())


def extract(text: str) -> str:
    r"""Return the final answer that a text states.

    In this order: the last `\boxed{…}`, what follows the last `####`, what follows the last "answer is" or "answer:" up
    to the end of the sentence, the last number, the whole text.
    """
    if boxed := _BOXED.findall(text):
        return str(boxed[-1]).strip()
    if hashes := _HASHES.findall(text):
        return str(hashes[-1]).strip()
    if said := _SAID.findall(text):
        return _SENTENCE_END.split(str(said[-1]), maxsplit=1)[0].strip()
    if numbers := _NUMBER.findall(text):
        return str(numbers[-1])
    return text.strip()


def same(answer: str, expected: str) -> bool:
    """Say whether an extracted answer equals the expected one.

    Where the expected one is a number ("1,250", "$3.50", "3/4", "12 %"), the answer's only number must equal it; else
    both must be equal as normalised text.
    """
    wanted = _NUMERIC.fullmatch(expected.strip())
    if not wanted:
        return bool(normalised(expected)) and normalised(answer) == normalised(expected)
    found = _NUMBER.findall(answer)
    return len(found) == 1 and _fraction(str(found[0])) == _fraction(wanted.group(1))


def _fraction(number: str) -> Fraction | None:
    top, _, bottom = number.replace(",", "").partition("/")
    if bottom and int(bottom) == 0:
        return None
    return Fraction(top) / (int(bottom) if bottom else 1)


def _compared(row: Scored, equal: bool) -> bool | None:
    return equal if row.expected.strip() else None
