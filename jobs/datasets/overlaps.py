"""Prompts that occur twice: within a data set, or on both sides of a split.

Two prompts are the *same* when their texts are equal after NFKC, case folding, one space for any white space, and
without punctuation at the ends of words. They are *near* when the Jaccard similarity of their sets of character
trigrams is at least the threshold. Every pair is considered, nothing is sampled: a prefix filter (Bayardo et al. 2007,
"Scaling up all pairs similarity search") finds the candidates, because two sets with Jaccard ≥ t must share k of
their rarest `n - ceil(t * n) + k` members (here k = 3), and each candidate's similarity is then computed exactly.
System messages are left out, for they are mostly the same for all rows. Paraphrases in other words are not found.
"""

from __future__ import annotations

import math
import re
import unicodedata
from array import array
from collections import Counter
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from broker.jobs.datasets.signatures import SHINGLE, Question, Signature, sign_rows
from broker.jobs.rows import ChatRow, Dataset, Row

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SHARED = 3
_SHOWN = 80
THRESHOLD = 0.9
METHOD = (
    "same: equal but for case, white space and punctuation at the ends of words; "
    "near: Jaccard similarity of character trigrams at least {threshold:g}, all pairs; system messages left out"
)
_MARKS = r"""[.,;:!?\u2026"'\u2018-\u201f\u00ab\u00bb()\[\]]+"""
_PUNCTUATION = re.compile(rf"(?<!\S){_MARKS}|{_MARKS}(?!\S)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """A validation prompt that is also, or nearly, a training prompt.

    Attributes:
        train_line: Line of the training row that is most like it (the first of several).
        validation_line: Line of the validation row.
        similarity: Jaccard similarity of their trigrams; 1 for the same prompt.
        exact: They are the same prompt.
        prompt: The validation row's prompt, shortened.
    """

    train_line: int
    validation_line: int
    similarity: float
    exact: bool
    prompt: str

    def __str__(self) -> str:
        """Return the finding in one line."""
        how = "the same as" if self.exact else f"like (similarity {self.similarity:.2f})"
        return f'line {self.validation_line} "{self.prompt}" is {how} training line {self.train_line}'


def prompt_text(row: Row) -> str:
    """Return what a row asks: the texts before its last answer, without system messages.

    Args:
        row: A checked row.
    """
    messages = row.prompt if isinstance(row, ChatRow) else row.messages
    return "\n".join(str(message["content"] or "") for message in messages if message["role"] != "system")


def shown_prompt(row: Row) -> str:
    """Return what a row asks in one line, shortened for a message.

    Args:
        row: A checked row.
    """
    text = " ".join(prompt_text(row).split())
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def prompt_key(row: Row) -> str:
    """Return the text by which two prompts are the same.

    Args:
        row: A checked row.
    """
    text = prompt_text(row)
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(_PUNCTUATION.sub(" ", folded).split()) or text


class _Shingles:
    """The prompts' trigrams as numbers, rare ones first, so that a prefix of the sorted numbers holds the rarest."""

    def __init__(self, keys: Iterable[str]) -> None:
        counts: Counter[str] = Counter()
        for key in keys:
            counts.update(_trigrams(key))
        ordered = sorted(counts, key=lambda shingle: (counts[shingle], shingle))
        self._rank = {shingle: rank for rank, shingle in enumerate(ordered)}

    def of(self, key: str) -> array[int]:
        return array("I", sorted(map(self._rank.__getitem__, _trigrams(key))))


def _trigrams(key: str) -> set[str]:
    padded = f" {key} "
    return {padded[start : start + SHINGLE] for start in range(len(padded) - SHINGLE + 1)} or {padded}


class _Index:
    """Sets that can be asked for those similar to another."""

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._sets: list[array[int]] = []
        self._needed: list[int] = []
        self._postings: dict[int, list[int]] = {}

    def _prefix(self, members: array[int]) -> tuple[array[int], int]:
        """Return the rarest members, and how many of them a similar set must share."""
        least = math.ceil(self._threshold * len(members) - 1e-9)
        needed = min(SHARED, least)
        return members[: len(members) - least + needed], needed

    def add(self, members: array[int]) -> None:
        prefix, needed = self._prefix(members)
        for member in prefix:
            self._postings.setdefault(member, []).append(len(self._sets))
        self._sets.append(members)
        self._needed.append(needed)

    def similar(self, members: array[int]) -> Iterator[tuple[int, float]]:
        """Yield each similar set's number with its similarity."""
        prefix, needed = self._prefix(members)
        lists = (self._postings.get(member, ()) for member in prefix)
        shared = Counter(chain.from_iterable(lists))
        wanted = set(members)
        for number, count in shared.items():
            if count >= needed or count >= self._needed[number]:
                similarity = self._similarity(wanted, self._sets[number])
                if similarity >= self._threshold - 1e-12:
                    yield number, similarity

    def _similarity(self, wanted: set[int], other: array[int]) -> float:
        if min(len(wanted), len(other)) < self._threshold * max(len(wanted), len(other)) - 1e-9:
            return 0.0
        common = len(wanted.intersection(other))
        return common / (len(wanted) + len(other) - common)


def _check_threshold(threshold: float) -> None:
    if not 0 < threshold <= 1:
        raise ValueError(f"the threshold must lie in (0, 1], not {threshold}")


def overlap(train: Dataset, validation: Dataset, threshold: float = THRESHOLD) -> list[Overlap]:
    """Find the validation rows whose prompt is, or nearly is, a training prompt.

    Args:
        train: Training rows.
        validation: Validation rows.
        threshold: Least Jaccard similarity of character trigrams, in (0, 1].

    Returns:
        At most one entry a validation row, with the training row most like it; in the validation rows' order.

    Raises:
        ValueError: The threshold is out of range.
    """
    _check_threshold(threshold)
    return likenesses(sign_rows(train.rows), validation, Question(sign_rows(validation.rows), threshold))


def likenesses(train: Signature, validation: Dataset, question: Question) -> list[Overlap]:
    """Return the validation rows whose prompt is, or nearly is, in a set.

    Args:
        train: The set's signature.
        validation: Validation rows.
        question: Made of the signature of these rows.
    """
    numbers: dict[str, int] = {}
    keys = [prompt_key(row) for row in validation.rows]
    for key in keys:
        numbers.setdefault(key, len(numbers))
    found = {one.asked: one for one in question.answer(train)}
    return [
        _overlap(row, int(train.lines[one.number]), one.similarity, exact=one.exact)
        for row, key in zip(validation.rows, keys, strict=True)
        if (one := found.get(numbers[key])) is not None
    ]


def _overlap(row: Row, line: int, similarity: float, *, exact: bool) -> Overlap:
    return Overlap(
        train_line=line,
        validation_line=row.line,
        similarity=round(similarity, 4),
        exact=exact,
        prompt=shown_prompt(row),
    )


def near_duplicates(dataset: Dataset, threshold: float = THRESHOLD) -> list[Overlap]:
    """Find the rows of one data set whose prompt is, or nearly is, that of an earlier row.

    Args:
        dataset: Its rows.
        threshold: Least Jaccard similarity of character trigrams, in (0, 1].

    Returns:
        At most one entry a row: the row as `validation_line`, an earlier one like it as `train_line`.

    Raises:
        ValueError: The threshold is out of range.
    """
    _check_threshold(threshold)
    keys = [prompt_key(row) for row in dataset.rows]
    shingles, index = _Shingles(dict.fromkeys(keys)), _Index(threshold)
    lines: list[int] = []
    first: dict[str, int] = {}
    found: list[Overlap] = []
    for row, key in zip(dataset.rows, keys, strict=True):
        if key in first:
            found.append(_overlap(row, first[key], 1.0, exact=True))
            continue
        members = shingles.of(key)
        number, similarity = next(index.similar(members), (0, 0.0))
        if similarity:
            found.append(_overlap(row, lines[number], similarity, exact=False))
        index.add(members)
        lines.append(row.line)
        first[key] = row.line
    return found


def clusters(dataset: Dataset, threshold: float = THRESHOLD) -> list[list[int]]:
    """Group the rows whose prompts are the same or nearly so, also by way of others between them.

    Args:
        dataset: Its rows.
        threshold: Least Jaccard similarity of character trigrams, in (0, 1].

    Returns:
        Places of rows: every row in one group, groups and their members in the rows' order.

    Raises:
        ValueError: The threshold is out of range.
    """
    _check_threshold(threshold)
    places: dict[str, list[int]] = {}
    for place, row in enumerate(dataset.rows):
        places.setdefault(prompt_key(row), []).append(place)
    shingles, index = _Shingles(places), _Index(threshold)
    heads = list(range(len(places)))

    def head(number: int) -> int:
        while heads[number] != number:
            heads[number] = heads[heads[number]]
            number = heads[number]
        return number

    for number, key in enumerate(places):
        members = shingles.of(key)
        for other, _ in index.similar(members):
            first, second = sorted((head(number), head(other)))
            heads[second] = first
        index.add(members)
    groups: dict[int, list[int]] = {}
    for number, rows in enumerate(places.values()):
        groups.setdefault(head(number), []).extend(rows)
    return sorted(sorted(group) for group in groups.values())
