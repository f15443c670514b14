"""Prompts that occur twice: within a data set, or on both sides of a split.

Two prompts are the *same* when their texts are equal after NFKC, case folding, one space for any white space, and
without punctuation at the ends of words. They are *near* when the Jaccard similarity of their sets of character
trigrams is at least the threshold. Every pair is considered, nothing is sampled: a prefix filter finds the candidates
(`signatures`, and within one set `neighbours`), and each candidate's similarity is then computed exactly.
System messages are left out, for they are mostly the same for all rows. Paraphrases in other words are not found.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from broker.jobs.datasets.neighbours import Neighbours, silent
from broker.jobs.datasets.signatures import Question, Signature, sign_rows
from broker.jobs.rows import ChatRow, Dataset, Row

if TYPE_CHECKING:
    from collections.abc import Callable

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


def near_duplicates(
    dataset: Dataset, threshold: float = THRESHOLD, tell: Callable[[int, int], None] = silent
) -> list[Overlap]:
    """Find the rows of one data set whose prompt is, or nearly is, that of an earlier row.

    Args:
        dataset: Its rows.
        threshold: Least Jaccard similarity of character trigrams, in (0, 1].
        tell: Told now and then how many prompts are done, of how many.

    Returns:
        At most one entry a row: the row as `validation_line`, an earlier one like it as `train_line`.

    Raises:
        ValueError: The threshold is out of range.
    """
    _check_threshold(threshold)
    places = _places(dataset)
    found: dict[int, Overlap] = {}
    lines = [dataset.rows[same[0]].line for same in places.values()]
    nearest = Neighbours(places, threshold).nearest(tell)
    for same, (earlier, similarity) in zip(places.values(), nearest, strict=True):
        first, *others = same
        if earlier >= 0:
            found[first] = _overlap(dataset.rows[first], lines[earlier], similarity, exact=False)
        for place in others:
            found[place] = _overlap(dataset.rows[place], dataset.rows[first].line, 1.0, exact=True)
    return [found[place] for place in sorted(found)]


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
    places = _places(dataset)
    groups: dict[int, list[int]] = {}
    for head, same in zip(Neighbours(places, threshold).groups(), places.values(), strict=True):
        groups.setdefault(head, []).extend(same)
    return sorted(sorted(group) for group in groups.values())


def _places(dataset: Dataset) -> dict[str, list[int]]:
    """Return the places of the rows that have each prompt."""
    places: dict[str, list[int]] = {}
    for place, row in enumerate(dataset.rows):
        places.setdefault(prompt_key(row), []).append(place)
    return places
